// SPDX-License-Identifier: Apache-2.0
#include "keystore/cose_key.h"

#include <algorithm>
#include <array>
#include <utility>

namespace vhsm::keystore {
namespace {

constexpr std::int64_t kKtyLabel = 1;
constexpr std::int64_t kAlgLabel = 3;
constexpr std::int64_t kOpsLabel = 4;
constexpr std::int64_t kCrvLabel = -1;  // also k of a symmetric key
constexpr std::int64_t kOtherPrimesLabel = -9;
constexpr std::int64_t kChainLabel = 33;
constexpr std::int64_t kSymmetric = 4;

Error malformed() { return fail(Errc::kBadFormat, "the COSE_Key is malformed"); }

/// A value, as it stands. What a text labels matters to nobody here but for being there once.
struct Labelled {
  std::int64_t number = 0;
  std::string_view text{};
  ByteView value{};

  [[nodiscard]] bool same_label(const Labelled& other) const noexcept {
    return number == other.number && text == other.text;
  }
};
using Members = std::vector<Labelled>;

Status read_label(CborReader& reader, Labelled& member) {
  if (reader.next_is_text()) {
    member.text = VHSM_TRY(reader.text());
    return member.text.empty() ? Status(malformed()) : Status();
  }
  member.number = VHSM_TRY(reader.integer());
  return member.number == 0 ? Status(malformed()) : Status();  // reserved
}

Result<Members> read_map(ByteView bytes) {
  CborReader reader(bytes);
  Members members;
  const std::size_t count = VHSM_TRY(reader.map());
  for (std::size_t i = 0; i < count; ++i) {
    Labelled member;
    VHSM_TRY(read_label(reader, member));
    member.value = VHSM_TRY(reader.skip());
    const auto is_same = [&](const Labelled& other) { return other.same_label(member); };
    if (std::ranges::any_of(members, is_same)) return malformed();
    members.push_back(member);
  }
  if (!reader.at_end()) return malformed();
  return members;
}

const Labelled* find(const Members& members, std::int64_t label) noexcept {
  const auto found = std::ranges::find(members, label, &Labelled::number);
  return found == members.end() ? nullptr : &*found;
}

Result<std::optional<std::int64_t>> number_of(const Members& members, std::int64_t label) {
  const Labelled* const member = find(members, label);
  if (member == nullptr) return std::optional<std::int64_t>();
  const std::int64_t number = VHSM_TRY(CborReader(member->value).integer());
  if (number == 0) return malformed();  // every registry has it reserved
  return std::optional(number);
}

Status read_kind(const Members& members, SpelledKey& key) {
  const auto kty = VHSM_TRY(number_of(members, kKtyLabel));
  if (!kty.has_value()) return malformed();
  key.kty = VHSM_TRY(find_kty({.cose = *kty}));
  if (key.kty != Kty::kEcKey && key.kty != Kty::kOkp) return {};
  const auto crv = VHSM_TRY(number_of(members, kCrvLabel));
  if (!crv.has_value()) return malformed();
  key.curve = VHSM_TRY(find_spelled_curve({.cose = *crv}, key.kty));
  return {};
}

/// The y of an EC2 key may be the sign bit of the point alone.
Result<SecretBytes> read_part(const Labelled& member, SpelledKey& key) {
  CborReader reader(member.value);
  if (key.kty != Kty::kEcKey || !reader.next_is_truth()) {
    const ByteView bytes = VHSM_TRY(reader.bytes());
    if (bytes.empty()) return malformed();
    return SecretBytes::copy(bytes);
  }
  const bool sign = VHSM_TRY(reader.truth());
  key.y_is_sign = true;
  return SecretBytes::copy(std::array{static_cast<std::uint8_t>(sign ? 1 : 0)});
}

Status read_parts(const Members& members, SpelledKey& key) {
  const auto rows = spelled_parts();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Labelled* const member =
        rows[i].kty == key.kty ? find(members, rows[i].names.cose) : nullptr;
    if (member != nullptr) key.parts[i] = VHSM_TRY(read_part(*member, key));
  }
  if (key.kty != Kty::kRsaKey || find(members, kOtherPrimesLabel) == nullptr) return {};
  return fail(Errc::kUnsupported, "the RSA key has more than two primes");
}

Status read_operations(const Labelled& member, SpelledTerms& terms) {
  CborReader reader(member.value);
  const std::size_t count = VHSM_TRY(reader.array());
  terms.operations = 0U;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t number = VHSM_TRY(reader.integer());
    const unsigned operation = VHSM_TRY(find_key_operation({.cose = number}));
    if ((*terms.operations & operation) != 0) return malformed();
    *terms.operations |= operation;
  }
  return {};
}

Status read_terms(const Members& members, SpelledKey& key) {
  const auto alg = VHSM_TRY(number_of(members, kAlgLabel));
  if (alg.has_value()) key.terms.algorithm = VHSM_TRY(find_spelled_algorithm({.cose = *alg}, key));
  const Labelled* const operations = find(members, kOpsLabel);
  return operations == nullptr ? Status() : read_operations(*operations, key.terms);
}

Status read_certificate(CborReader& reader, SpelledKey& key) {
  const ByteView der = VHSM_TRY(reader.bytes());
  key.certificates.emplace_back(der.begin(), der.end());
  return {};
}

Status read_certificates(const Members& members, SpelledKey& key) {
  const Labelled* const chain = find(members, kChainLabel);
  if (chain == nullptr) return {};
  CborReader reader(chain->value);
  std::size_t count = 1;
  if (reader.next_is_array()) count = VHSM_TRY(reader.array());
  for (std::size_t i = 0; i < count; ++i) VHSM_TRY(read_certificate(reader, key));
  return {};
}

std::optional<std::int64_t> kty_of(ByteView bytes) {
  const auto members = read_map(bytes);
  if (!members.ok()) return std::nullopt;
  const auto kty = number_of(members.value(), kKtyLabel);
  return kty.ok() ? kty.value() : std::nullopt;
}

}  // namespace

bool is_cose_key(ByteView bytes) { return kty_of(bytes).has_value(); }

bool is_symmetric_cose_key(ByteView bytes) {
  if (kty_of(bytes) != kSymmetric) return false;
  const auto members = read_map(bytes);
  const Labelled* const k = find(members.value(), kCrvLabel);
  return k != nullptr && CborReader(k->value).bytes().ok();
}

Result<SpelledKey> parse_cose_key(ByteView bytes) {
  const Members members = VHSM_TRY(read_map(bytes));
  SpelledKey key;
  VHSM_TRY(read_kind(members, key));
  VHSM_TRY(read_parts(members, key));
  VHSM_TRY(read_terms(members, key));
  VHSM_TRY(read_certificates(members, key));
  VHSM_TRY(check_spelled(key));
  return key;
}

}  // namespace vhsm::keystore
