// SPDX-License-Identifier: Apache-2.0
#include "keystore/sealed/index.h"

#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace vhsm::keystore::sealed {
namespace {

constexpr std::size_t kFrontBytes = 8;  // buckets, records
constexpr std::size_t kPlaceBytes = 4;

/// FNV-1a, 32 bits: names are made by the owner, who has no reason to make them collide.
std::uint32_t hash_of(std::string_view name) noexcept {
  std::uint32_t hash = 2166136261U;
  for (const char c : name) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619U;
  return hash;
}

constexpr std::uint64_t kUnlimited = UINT64_MAX;

template <class Enum>
Result<Enum> read_enum(Reader& reader, Enum last) {
  const auto number = VHSM_TRY(reader.number<std::uint8_t>());
  if (number >= 1 && number <= static_cast<std::uint8_t>(last)) return static_cast<Enum>(number);
  return fail(Errc::kTampered, "the index of the keystore has a number that nobody writes");
}

Result<CopyTerms> read_copy_terms(Reader& reader) {
  CopyTerms terms;
  terms.since = VHSM_TRY(reader.number<std::uint64_t>());
  terms.until = VHSM_TRY(reader.number<std::uint64_t>());
  terms.uptime = VHSM_TRY(reader.number<std::uint64_t>());
  const ByteView boot = VHSM_TRY(reader.bytes(terms.boot.size()));
  std::ranges::copy(boot, terms.boot.begin());
  terms.boots = VHSM_TRY(reader.number<std::uint8_t>());
  return terms;
}

Result<Version> read_version(Reader& reader) {
  Version version;
  version.number = VHSM_TRY(reader.number<std::uint32_t>());
  version.state = VHSM_TRY(read_enum(reader, State::kDisabled));
  version.content = VHSM_TRY(read_enum(reader, Content::kSecret));
  version.origin = VHSM_TRY(read_enum(reader, Origin::kRestored));
  version.created = VHSM_TRY(reader.number<std::uint64_t>());
  const ByteView digest = VHSM_TRY(reader.bytes(version.digest.size()));
  std::ranges::copy(digest, version.digest.begin());
  const ByteView type = VHSM_TRY(reader.counted<std::uint8_t>());
  version.type = text(type);
  const ByteView policy = VHSM_TRY(reader.counted<std::uint16_t>());
  version.policy.assign(policy.begin(), policy.end());
  const auto uses = VHSM_TRY(reader.number<std::uint64_t>());
  if (uses != kUnlimited) version.uses_left = uses;
  if (version.origin == Origin::kCopy) version.copy = VHSM_TRY(read_copy_terms(reader));
  return version;
}

void write(Writer& writer, const CopyTerms& terms) {
  writer.number(terms.since)
      .number(terms.until)
      .number(terms.uptime)
      .bytes(terms.boot)
      .number(terms.boots);
}

void write(Writer& writer, const Version& version) {
  writer.number(version.number)
      .number(static_cast<std::uint8_t>(version.state))
      .number(static_cast<std::uint8_t>(version.content))
      .number(static_cast<std::uint8_t>(version.origin))
      .number(version.created)
      .bytes(version.digest)
      .counted<std::uint8_t>(view(version.type))
      .counted<std::uint16_t>(version.policy)
      .number(version.uses_left.value_or(kUnlimited));
  if (version.origin == Origin::kCopy) write(writer, version.copy);
}

void write(Writer& writer, const Record& record) {
  writer.counted<std::uint16_t>(view(record.name))
      .number(record.next)
      .number(static_cast<std::uint16_t>(record.versions.size()));
  for (const Version& version : record.versions) write(writer, version);
}

bool fits(const Record& record) noexcept {
  return record.name.size() <= kMaxNameBytes && record.versions.size() <= kMaxVersions &&
         std::ranges::all_of(record.versions, [](const Version& version) {
           return version.type.size() <= UINT8_MAX && version.policy.size() <= kMaxPolicyBytes;
         });
}

/// At most half full, so that a search ends soon.
std::size_t buckets_for(std::size_t records) noexcept {
  return std::bit_ceil(std::max<std::size_t>(2 * records, 2));
}

}  // namespace

Result<Digest> digest_of(ByteView bytes) {
  Digest digest{};
  VHSM_TRY(crypto(
      EVP_Q_digest(nullptr, "SHA256", nullptr, bytes.data(), bytes.size(), digest.data(), nullptr),
      "no SHA-256"));
  return digest;
}

const Version* Record::version(std::optional<std::uint32_t> number) const noexcept {
  const auto is_meant = [&](const Version& version) {
    return number.has_value() ? version.number == *number : version.state == State::kEnabled;
  };
  const auto found = std::find_if(versions.rbegin(), versions.rend(), is_meant);
  return found == versions.rend() ? nullptr : &*found;
}

Result<Bytes> Index::build(const std::vector<Record>& records) {
  if (!std::ranges::all_of(records, fits)) {
    return fail(Errc::kBadLength, "a key has more versions, or a longer name, than an index takes");
  }
  std::vector<std::uint32_t> places(buckets_for(records.size()));
  Writer all;
  for (const Record& record : records) {
    std::size_t bucket = hash_of(record.name) & (places.size() - 1);
    while (places[bucket] != 0) bucket = (bucket + 1) & (places.size() - 1);
    places[bucket] = static_cast<std::uint32_t>(all.done().size() + 1);
    write(all, record);
    if (all.done().size() > kMaxIndexBytes) {
      return fail(Errc::kBadLength, "there are more keys than one folder takes");
    }
  }
  Writer index;
  index.number(static_cast<std::uint32_t>(places.size()))
      .number(static_cast<std::uint32_t>(records.size()));
  for (const std::uint32_t place : places) index.number(place);
  return index.bytes(all.done()).done();
}

Result<Index> Index::parse(Bytes bytes) {
  Reader reader(bytes);
  const auto buckets = VHSM_TRY(reader.number<std::uint32_t>());
  const auto count = VHSM_TRY(reader.number<std::uint32_t>());
  const bool good = buckets == buckets_for(count) && reader.rest().size() / kPlaceBytes >= buckets;
  if (!good) return fail(Errc::kTampered, "the index of the keystore is none");
  return Index(std::move(bytes), buckets, count);
}

/// Of the record in a bucket: one more than where it stands behind the table; 0: none.
Result<std::uint32_t> Index::place_in(std::size_t bucket) const {
  return Reader(ByteView(bytes_).subspan(kFrontBytes + bucket * kPlaceBytes))
      .number<std::uint32_t>();
}

Result<std::string_view> Index::name_at(std::uint32_t place) const {
  const ByteView records = ByteView(bytes_).subspan(kFrontBytes + buckets_ * kPlaceBytes);
  if (place > records.size()) {
    return fail(Errc::kTampered, "the index of the keystore leads beyond its end");
  }
  const ByteView name = VHSM_TRY(Reader(records.subspan(place - 1)).counted<std::uint16_t>());
  return text(name);
}

Result<Record> Index::record_at(std::uint32_t place) const {
  const std::string_view name = VHSM_TRY(name_at(place));
  const auto* const end = view(name).data() + name.size();
  Reader reader(ByteView(end, bytes_.data() + bytes_.size()));
  Record record{std::string(name), 1, {}};
  record.next = VHSM_TRY(reader.number<std::uint32_t>());
  const auto count = VHSM_TRY(reader.number<std::uint16_t>());
  for (std::size_t i = 0; i < count; ++i) {
    Version version = VHSM_TRY(read_version(reader));
    record.versions.push_back(std::move(version));
  }
  return record;
}

Result<std::optional<Record>> Index::find(std::string_view name) const {
  std::size_t bucket = hash_of(name) & (buckets_ - 1);
  for (std::size_t looked = 0; looked < buckets_; ++looked) {
    const std::uint32_t place = VHSM_TRY(place_in(bucket));
    if (place == 0) break;
    const std::string_view its_name = VHSM_TRY(name_at(place));
    if (its_name == name) {
      Record record = VHSM_TRY(record_at(place));
      return std::optional(std::move(record));
    }
    bucket = (bucket + 1) & (buckets_ - 1);
  }
  return std::optional<Record>();
}

Result<std::vector<Record>> Index::records() const {
  std::vector<Record> all;
  for (std::size_t bucket = 0; bucket < buckets_; ++bucket) {
    const std::uint32_t place = VHSM_TRY(place_in(bucket));
    if (place == 0) continue;
    Record record = VHSM_TRY(record_at(place));
    all.push_back(std::move(record));
  }
  std::ranges::sort(all, {}, &Record::name);
  return all;
}

// ----- for whoever asks for a key ----------------------------------------------------------------

std::string uri_of(const std::string& name) { return "vhsm:" + name; }

Error no_such_key(const std::string& name) {
  return fail(Errc::kMissing, "there is no such key in the keystore", uri_of(name))
      .cured_by("vhsm key list shows what is here");
}

Error no_such_version(const std::string& name) {
  return fail(Errc::kMissing, "the key has no such version", uri_of(name))
      .cured_by("vhsm key list shows the versions");
}

Result<Version> usable_version(const Record& record, std::optional<std::uint32_t> number) {
  const Version* const version = record.version(number);
  if (version == nullptr && number.has_value()) {
    return no_such_version(record.name);
  }
  if (version != nullptr && version->state == State::kEnabled) return *version;
  return fail(Errc::kPolicy, "the key is disabled", uri_of(record.name))
      .cured_by("its owner may enable it: vhsm key enable");
}

}  // namespace vhsm::keystore::sealed
