// SPDX-License-Identifier: Apache-2.0
#include "keystore/secret_material.h"

#include <algorithm>

#include "keystore/cose_key.h"
#include "keystore/hot_set.h"
#include "keystore/jwk.h"
#include "keystore/material.h"

namespace vhsm::keystore {
namespace {

constexpr std::size_t kMaxStoredBytes = kMaxReleasedBytes * 3 / 2;  // base64url, and a JWK around

bool is_jwk(std::string_view text) noexcept {
  const auto printable = [](char c) {
    return (c >= ' ' && c <= '~') || c == '\t' || c == '\r' || c == '\n';
  };
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return text.starts_with('{') && text[last] == '}' && std::ranges::all_of(text, printable);
}

Result<SecretMaterial> spelled(const Result<SpelledKey>& parsed) {
  return parsed.ok() ? secret_of(parsed.value()) : parsed.error();
}

/// @param raw_uses  of bytes that no owner says anything of.
Result<SecretMaterial> read_secret(const SecretBytes& stored, unsigned raw_uses) {
  const auto bytes = stored.expose();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (is_jwk(text)) return spelled(parse_jwk(text));
  if (is_symmetric_cose_key(bytes)) return spelled(parse_cose_key(bytes));
  SecretMaterial material;
  material.key = VHSM_TRY(stored.clone());
  material.uses.uses = raw_uses;
  return material;
}

Status check_size(const SecretMaterial& material) {
  const bool comes_out = material.uses.uses == KeyUses::kRelease;
  const std::size_t most = comes_out ? kMaxReleasedBytes : kMaxSecretKeyBytes;
  if (material.key.size() > 0 && material.key.size() <= most) return {};
  return fail(Errc::kBadFormat,
              "a symmetric key has 1 to 1024 bytes, and a secret that may come out 1 to 65536");
}

/// The beginning of a PKCS#8, PKCS#1, SEC 1 or PKCS#12 structure: a SEQUENCE that begins with a
/// version, or of an encrypted PKCS#8: with an AlgorithmIdentifier. No text begins so.
bool begins_as_der_key(std::span<const std::uint8_t> bytes) noexcept {
  if (bytes.size() < 8 || bytes[0] != 0x30) return false;
  const std::size_t length_bytes = bytes[1] < 0x80 ? 0 : bytes[1] & 0x7fU;
  if (length_bytes > 4) return false;
  const auto content = bytes.subspan(2 + length_bytes);
  const bool version = content[0] == 0x02 && content[1] == 0x01;
  const bool algorithm = content.size() > 2 && content[0] == 0x30 && content[2] == 0x06;
  return version || algorithm;
}

/// A map whose first label is kty, as in a COSE_Key.
bool begins_as_cose_key(std::span<const std::uint8_t> bytes) noexcept {
  return bytes.size() > 3 && bytes[0] >= 0xa2 && bytes[0] <= 0xb7 && bytes[1] == 1 &&
         bytes[2] >= 1 && bytes[2] <= 4;
}

/// Also one that we cannot read: another type, damaged, encrypted, or one of several.
bool looks_like_key(std::span<const std::uint8_t> bytes) noexcept {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const bool jwk = text.find('{') != text.npos && text.find("\"kty\"") != text.npos;
  return text.find("PRIVATE KEY-----") != text.npos || jwk || begins_as_der_key(bytes) ||
         begins_as_cose_key(bytes);
}

/// What is a key pair under one type of URI must not be a MAC's key under another, nor come out.
Status check_no_pair(const SecretBytes& bytes) {
  if (!parse_material(bytes).ok()) return {};
  return fail(Errc::kBadFormat, "the resource is a key pair or certificate, not a symmetric key");
}

Result<SecretMaterial> parse(const SecretBytes& stored, unsigned raw_uses) {
  if (stored.size() == 0 || stored.size() > kMaxStoredBytes) {
    return fail(Errc::kBadFormat, "the resource is empty or too large for a symmetric key");
  }
  VHSM_TRY(check_no_pair(stored));
  auto material = VHSM_TRY(run_with_room([&] { return read_secret(stored, raw_uses); }));
  VHSM_TRY(check_size(material));
  if (material.uses.uses != KeyUses::kRelease) return material;
  VHSM_TRY(check_no_pair(material.key));
  if (!looks_like_key(material.key.expose())) return material;
  return fail(Errc::kBadFormat, "what looks like a key does not come out, readable or not");
}

}  // namespace

Result<SecretMaterial> parse_secret(const SecretBytes& stored) {
  return parse(stored, KeyUses::kEvery);
}

Result<SecretMaterial> parse_named_secret(const SecretBytes& stored) {
  auto material = VHSM_TRY(parse(stored, KeyUses::kRelease));
  if (material.uses.uses == KeyUses::kRelease) return material;
  return fail(Errc::kBadFormat, "a key stands where the settings (secret_paths) have secrets");
}

}  // namespace vhsm::keystore
