// SPDX-License-Identifier: Apache-2.0
#include "evidence/key_claims.h"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "jose/base64.h"
#include "snp/hex.h"

namespace vhsm::evidence {
namespace {

using keystore::KeyClaims;

/// Claims of the set, in the order of their encodings.
namespace claim {
constexpr std::int64_t kNonce = 10;
constexpr std::int64_t kProfile = 265;
constexpr std::int64_t kKey = -70000;
}  // namespace claim

/// Of the map behind claim::kKey.
enum class Field : std::uint8_t {
  kPublicKey = 1,
  kName,
  kVersion,
  kOrigin,
  kPolicy,
  kOthers,
};
constexpr std::size_t kMaxTextBytes = 4096;

constexpr std::string_view kLabel = "vhsm evidence of a key 1";

void put(CborWriter& writer, Field field) { writer.number(static_cast<std::uint64_t>(field)); }

void write_key(CborWriter& writer, const KeyClaims& claims) {
  writer.map(std::size_t{4} + (claims.version != 0 ? 1 : 0) + (claims.policy.empty() ? 0 : 1));
  put(writer, Field::kPublicKey);
  writer.bytes(claims.public_key_info);
  put(writer, Field::kName);
  writer.text(claims.name);
  if (claims.version != 0) {
    put(writer, Field::kVersion);
    writer.number(claims.version);
  }
  put(writer, Field::kOrigin);
  writer.text(name_of(claims.origin));
  if (!claims.policy.empty()) {
    put(writer, Field::kPolicy);
    writer.text(claims.policy);
  }
  put(writer, Field::kOthers);
  writer.array(claims.others.size());
  for (const std::string& other : claims.others) writer.text(other);
}

// ----- reading -----------------------------------------------------------------------------------

Error malformed(std::string_view what) {
  return fail(Errc::kBadFormat, "these are no claims about a key", what);
}

/// Printable ASCII alone: it ends on terminals and in logs.
Result<std::string> read_text(CborReader& reader) {
  const std::string_view text = VHSM_TRY(reader.text());
  const bool is_plain = std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
  if (!is_plain || text.size() > kMaxTextBytes) return malformed("a text");
  return std::string(text);
}

Status read_nonce(CborReader& reader, KeyClaims& claims) {
  const ByteView nonce = VHSM_TRY(reader.bytes());
  claims.nonce.assign(nonce.begin(), nonce.end());
  const bool fits =
      nonce.size() >= keystore::kMinNonceBytes && nonce.size() <= keystore::kMaxNonceBytes;
  return fits ? Status() : Status(malformed("nonce"));
}

Status read_profile(CborReader& reader) {
  const std::string_view profile = VHSM_TRY(reader.text());
  return profile == kKeyProfile ? Status() : Status(malformed("profile"));
}

Status read_version(CborReader& reader, KeyClaims& claims) {
  const std::uint64_t version = VHSM_TRY(reader.number());
  if (version == 0 || version > UINT32_MAX) return malformed("version");
  claims.version = static_cast<std::uint32_t>(version);
  return {};
}

Status read_origin(CborReader& reader, KeyClaims& claims) {
  const std::string_view name = VHSM_TRY(reader.text());
  const auto origin = keystore::parse_origin(name);
  if (!origin.has_value()) return malformed("origin");
  claims.origin = *origin;
  return {};
}

Status read_others(CborReader& reader, KeyClaims& claims) {
  const std::size_t count = VHSM_TRY(reader.array());
  for (std::size_t i = 0; i < count; ++i) {
    std::string other = VHSM_TRY(read_text(reader));
    claims.others.push_back(std::move(other));
  }
  return {};
}

Status read_field(std::uint64_t field, CborReader& reader, KeyClaims& claims) {
  switch (static_cast<Field>(field)) {
    case Field::kPublicKey: {
      const ByteView key = VHSM_TRY(reader.bytes());
      claims.public_key_info.assign(key.begin(), key.end());
      return {};
    }
    case Field::kName: claims.name = VHSM_TRY(read_text(reader)); return {};
    case Field::kVersion: return read_version(reader, claims);
    case Field::kOrigin: return read_origin(reader, claims);
    case Field::kPolicy: claims.policy = VHSM_TRY(read_text(reader)); return {};
    case Field::kOthers: return read_others(reader, claims);
    default: return malformed("a field");
  }
}

Status read_key(CborReader& reader, KeyClaims& claims) {
  const std::size_t count = VHSM_TRY(reader.map());
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t field = VHSM_TRY(reader.number());
    if (field > static_cast<std::uint64_t>(Field::kOthers)) return malformed("a field");
    VHSM_TRY(read_field(field, reader, claims));
  }
  return {};
}

Status read_claim(std::int64_t key, CborReader& reader, KeyClaims& claims) {
  switch (key) {
    case claim::kNonce: return read_nonce(reader, claims);
    case claim::kProfile: return read_profile(reader);
    case claim::kKey: return read_key(reader, claims);
    default: return malformed("a claim");
  }
}

}  // namespace

Bytes encode(const KeyClaims& claims) {
  Bytes bytes;
  CborWriter writer(bytes);
  writer.map(claims.nonce.empty() ? 2 : 3);
  if (!claims.nonce.empty()) {
    writer.integer(claim::kNonce);
    writer.bytes(claims.nonce);
  }
  writer.integer(claim::kProfile);
  writer.text(kKeyProfile);
  writer.integer(claim::kKey);
  write_key(writer, claims);
  return bytes;
}

/// Whatever is missing, there twice, or written otherwise is not what encode() gives.
Result<KeyClaims> parse_claims(ByteView bytes) {
  CborReader reader(bytes);
  KeyClaims claims;
  const std::size_t count = VHSM_TRY(reader.map());
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t key = VHSM_TRY(reader.integer());
    VHSM_TRY(read_claim(key, reader, claims));
  }
  if (claims.public_key_info.empty() || claims.name.empty()) return malformed("no key");
  if (!std::ranges::equal(encode(claims), bytes)) return malformed("not in their one encoding");
  return claims;
}

snp::ReportData report_data_of(ByteView claims) {
  Bytes bound;
  CborWriter writer(bound);
  writer.array(2);
  writer.text(kLabel);
  writer.bytes(claims);
  static_assert(snp::kReportDataBytes == SHA512_DIGEST_LENGTH);
  snp::ReportData data{};
  SHA512(bound.data(), bound.size(), data.data());
  return data;
}

nlohmann::ordered_json to_json(const KeyClaims& claims) {
  nlohmann::ordered_json json{{"name", claims.name}};
  if (claims.version != 0) json["version"] = claims.version;
  json["origin"] = std::string(name_of(claims.origin));
  json["policy"] = claims.policy;
  json["others"] = claims.others;
  json["public_key"] = jose::base64(claims.public_key_info);
  if (!claims.nonce.empty()) json["nonce"] = snp::to_hex(claims.nonce);
  return json;
}

}  // namespace vhsm::evidence
