// SPDX-License-Identifier: Apache-2.0
#include "snp/certificate_table.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "snp/guid.h"
#include "snp/little_endian.h"
#include "snp/x509.h"

namespace vhsm::snp {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kEntryBytes = 24;

struct KnownGuid {
  std::string_view text;
  CertificateKind kind;
};
// The first of a kind is the one that the writer uses. ASVKs go under the ASK's.
constexpr std::array<KnownGuid, 5> kKnown{{
    {"63da758d-e664-4564-adc5-f4b93be8accd", CertificateKind::kVcek},
    {"a8074bc2-a25a-483e-aae6-39c045a0b8a1", CertificateKind::kVlek},
    {"4ab7b379-bbac-4fe4-a02f-05aef327c782", CertificateKind::kAsk},
    {"c0b406a4-a803-4952-9743-3fb6014cd0ae", CertificateKind::kArk},
    {"92f81bc3-5811-4d3d-97ff-d19f88dc67ea", CertificateKind::kCrl},
}};

struct Entry {
  Guid guid;
  std::uint32_t offset;
  std::uint32_t length;
};

Entry read_entry(Bytes bytes) {
  Entry entry{};
  std::ranges::copy(bytes.first(kGuidBytes), entry.guid.begin());
  entry.offset = read_u32(bytes.subspan(kGuidBytes));
  entry.length = read_u32(bytes.subspan(kGuidBytes + 4));
  return entry;
}

bool all_zero(Bytes bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

const KnownGuid* find_known(const Guid& guid) {
  const auto found = std::ranges::find(kKnown, to_text(guid), &KnownGuid::text);
  return found == kKnown.end() ? nullptr : &*found;
}

/// Those two orders of a GUID that is known are one GUID.
Guid canonical(const Guid& guid) {
  const Guid swapped = swap_groups(guid);
  return find_known(guid) == nullptr && find_known(swapped) != nullptr ? swapped : guid;
}

/// The entries before the terminator.
Result<std::vector<Entry>> read_entries(Bytes table) {
  std::vector<Entry> entries;
  for (std::size_t at = 0; at + kEntryBytes <= table.size(); at += kEntryBytes) {
    const Bytes bytes = table.subspan(at, kEntryBytes);
    if (all_zero(bytes)) return entries;
    if (entries.size() == kMaxTableEntries) {
      return fail(Errc::kBadFormat, "the host's certificate table has too many entries");
    }
    Entry entry = read_entry(bytes);
    entry.guid = canonical(entry.guid);
    if (std::ranges::find(entries, entry.guid, &Entry::guid) != entries.end()) {
      return fail(Errc::kBadFormat, "the host's certificate table has an entry twice",
                  to_text(entry.guid));
    }
    entries.push_back(entry);
  }
  return fail(Errc::kBadFormat, "the host's certificate table has no end");
}

/// u32 + u32 cannot wrap in 64 bits.
bool lies_within(const Entry& entry, std::uint64_t header_bytes, std::uint64_t table_bytes) {
  return entry.offset >= header_bytes &&
         std::uint64_t{entry.offset} + std::uint64_t{entry.length} <= table_bytes;
}

Certificate certificate_of(const Entry& entry, Bytes table) {
  const Bytes data = table.subspan(entry.offset, entry.length);
  Certificate certificate{CertificateKind::kOther, {}, {data.begin(), data.end()}};
  if (const KnownGuid* known = find_known(entry.guid); known != nullptr) {
    certificate.kind = true_kind(known->kind, data);
  } else {
    certificate.guid = to_text(entry.guid);
  }
  return certificate;
}

Result<Guid> guid_of(const Certificate& certificate) {
  if (certificate.kind == CertificateKind::kOther) return parse_guid(certificate.guid);
  const auto kind =
      certificate.kind == CertificateKind::kAsvk ? CertificateKind::kAsk : certificate.kind;
  return parse_guid(std::ranges::find(kKnown, kind, &KnownGuid::kind)->text);
}

std::size_t table_bytes(std::span<const Certificate> certificates) {
  std::size_t bytes = (certificates.size() + 1) * kEntryBytes;
  for (const Certificate& one : certificates) bytes += one.data.size();
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace

Result<std::vector<Certificate>> parse_certificate_table(Bytes table) {
  std::vector<Certificate> certificates;
  if (table.empty()) return certificates;
  if (table.size() > kMaxTableBytes) {
    return fail(Errc::kBadLength, "the host's certificate table is over 16 KiB");
  }
  const std::vector<Entry> entries = VHSM_TRY(read_entries(table));
  const std::size_t header_bytes = (entries.size() + 1) * kEntryBytes;
  for (const Entry& entry : entries) {
    if (!lies_within(entry, header_bytes, table.size())) {
      return fail(Errc::kBadFormat, "the host's certificate table points outside itself",
                  to_text(entry.guid));
    }
    certificates.push_back(certificate_of(entry, table));
  }
  return certificates;
}

Result<std::vector<std::uint8_t>> write_certificate_table(
    std::span<const Certificate> certificates) {
  const std::size_t size = table_bytes(certificates);
  if (size > kMaxTableBytes) {
    return fail(Errc::kBadLength, "the certificates do not fit in a table of 16 KiB");
  }
  std::vector<std::uint8_t> table(size);
  std::size_t at = (certificates.size() + 1) * kEntryBytes;
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    const Guid guid = VHSM_TRY(guid_of(certificates[i]));
    const auto& data = certificates[i].data;
    const std::span entry = std::span(table).subspan(i * kEntryBytes, kEntryBytes);
    std::ranges::copy(guid, entry.begin());
    write_number(entry.subspan(kGuidBytes, 4), at);
    write_number(entry.subspan(kGuidBytes + 4, 4), data.size());
    std::ranges::copy(data, std::span(table).subspan(at).begin());
    at += data.size();
  }
  return table;
}

}  // namespace vhsm::snp
