// SPDX-License-Identifier: Apache-2.0
#include "keystore/jwk.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "keystore/json_text.h"

namespace vhsm::keystore {
namespace {

using Members = std::vector<JsonMember>;

Error malformed() { return fail(Errc::kBadFormat, "the JWK is malformed"); }

/// Null: it is not there.
const JsonMember* find(const Members& members, std::string_view name) noexcept {
  const auto found = std::ranges::find(members, name, &JsonMember::name);
  return found == members.end() ? nullptr : &*found;
}

/// The six bits of a character of base64url; without a table, since its lines would tell the key.
/// @return over 63 for a character that base64url has not.
constexpr unsigned base64url_bits(char c) noexcept {
  const auto code = static_cast<unsigned char>(c);
  const auto within = [code](char low, char high) {
    const bool inside =
        code >= static_cast<unsigned char>(low) && code <= static_cast<unsigned char>(high);
    return 0U - static_cast<unsigned>(inside);
  };
  const unsigned upper = within('A', 'Z') & (code - 65U);
  const unsigned lower = within('a', 'z') & (code - 71U);
  const unsigned digit = within('0', '9') & (code + 4U);
  const unsigned minus = within('-', '-') & 62U;
  const unsigned under = within('_', '_') & 63U;
  const unsigned known =
      within('A', 'Z') | within('a', 'z') | within('0', '9') | within('-', '-') | within('_', '_');
  return upper | lower | digit | minus | under | (~known & 64U);
}

/// RFC 4648, section 5, without padding.
Result<SecretBytes> decode_part(std::string_view text) {
  if (text.empty() || text.size() % 4 == 1) return malformed();
  auto key = VHSM_TRY(SecretBytes::zeros(text.size() * 3 / 4));
  unsigned bits = 0;
  unsigned seen = 0;
  unsigned wrong = 0;
  std::size_t written = 0;
  for (const char c : text) {
    const unsigned six = base64url_bits(c);
    wrong |= six & 64U;
    bits = (bits << 6U | six) & 0xffffU;
    seen += 6;
    if (seen < 8) continue;
    seen -= 8;
    key.expose()[written++] = static_cast<std::uint8_t>(bits >> seen & 0xffU);
  }
  const unsigned left_over = bits & ((1U << seen) - 1U);
  if (wrong != 0 || left_over != 0) return malformed();
  return key;
}

/// A certificate, in base64 with padding; some writers put a backslash before each slash.
Result<std::vector<std::uint8_t>> decode_certificate(std::string_view text) {
  std::string base64(text);
  std::erase(base64, '\\');
  std::vector<std::uint8_t> der(base64.size() / 4 * 3 + 3);
  const int size =
      EVP_DecodeBlock(der.data(), reinterpret_cast<const unsigned char*>(base64.data()),
                      static_cast<int>(base64.size()));
  const auto padding = static_cast<std::size_t>(std::ranges::count(base64, '='));
  if (size <= 0 || padding > 2) return malformed();
  der.resize(static_cast<std::size_t>(size) - padding);
  return der;
}

/// A member that has to be a string; nothing when it is not there.
Result<std::optional<std::string_view>> text_of(const Members& members, std::string_view name) {
  const JsonMember* const member = find(members, name);
  if (member == nullptr) return std::optional<std::string_view>();
  const std::string_view text = VHSM_TRY(json_string(member->value));
  if (text.empty()) return malformed();
  return std::optional(text);
}

Result<std::optional<std::uint64_t>> number_of(const Members& members, std::string_view name) {
  const JsonMember* const member = find(members, name);
  if (member == nullptr) return std::optional<std::uint64_t>();
  const std::uint64_t number = VHSM_TRY(json_number(member->value));
  return std::optional(number);
}

Status read_kind(const Members& members, SpelledKey& key) {
  const auto kty = VHSM_TRY(text_of(members, "kty"));
  if (!kty.has_value()) return malformed();
  key.kty = VHSM_TRY(find_kty({.jose = *kty}));
  if (key.kty != Kty::kEcKey && key.kty != Kty::kOkp) return {};
  const auto crv = VHSM_TRY(text_of(members, "crv"));
  if (!crv.has_value()) return malformed();
  key.curve = VHSM_TRY(find_spelled_curve({.jose = *crv}, key.kty));
  return {};
}

Status read_parts(const Members& members, SpelledKey& key) {
  const auto rows = spelled_parts();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].kty != key.kty) continue;
    const auto text = VHSM_TRY(text_of(members, rows[i].names.jose));
    if (text.has_value()) key.parts[i] = VHSM_TRY(decode_part(*text));
  }
  if (key.kty != Kty::kRsaKey || find(members, "oth") == nullptr) return {};
  return fail(Errc::kUnsupported, "the RSA key has more than two primes");
}

Status read_operations(const JsonMember& member, SpelledTerms& terms) {
  const auto names = VHSM_TRY(json_strings(member.value));
  terms.operations = 0U;
  for (const std::string_view name : names) {
    if (name.empty()) return malformed();
    const unsigned operation = VHSM_TRY(find_key_operation({.jose = name}));
    if ((*terms.operations & operation) != 0) return malformed();
    *terms.operations |= operation;
  }
  return {};
}

Status read_terms(const Members& members, SpelledKey& key) {
  SpelledTerms& terms = key.terms;
  const auto alg = VHSM_TRY(text_of(members, "alg"));
  if (alg.has_value()) terms.algorithm = VHSM_TRY(find_spelled_algorithm({.jose = *alg}, key));
  const auto use = VHSM_TRY(text_of(members, "use"));
  if (use.has_value()) terms.purpose = VHSM_TRY(find_key_purpose(*use));
  if (const JsonMember* const ops = find(members, "key_ops")) {
    VHSM_TRY(read_operations(*ops, terms));
  }
  terms.expires = VHSM_TRY(number_of(members, "exp"));
  terms.not_before = VHSM_TRY(number_of(members, "nbf"));
  return {};
}

Status read_certificates(const Members& members, SpelledKey& key) {
  const JsonMember* const chain = find(members, "x5c");
  if (chain == nullptr) return {};
  const auto texts = VHSM_TRY(json_strings(chain->value));
  for (const std::string_view text : texts) {
    auto der = VHSM_TRY(decode_certificate(text));
    key.certificates.push_back(std::move(der));
  }
  return {};
}

}  // namespace

Result<SpelledKey> parse_jwk(std::string_view text) {
  const Members members = VHSM_TRY(read_json_object(text));
  SpelledKey key;
  VHSM_TRY(read_kind(members, key));
  VHSM_TRY(read_parts(members, key));
  VHSM_TRY(read_terms(members, key));
  VHSM_TRY(read_certificates(members, key));
  VHSM_TRY(check_spelled(key));
  return key;
}

}  // namespace vhsm::keystore
