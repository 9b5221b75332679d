// SPDX-License-Identifier: Apache-2.0
#include "snp/named_bits.h"

#include <algorithm>

#include "snp/report.h"

namespace vhsm::snp {
namespace {

constexpr NamedBit kPolicyBits[] = {
    {policy_bit::kSmtAllowed, "smt", "SMT allowed"},
    {policy_bit::kMigrationAllowed, "migration", "MIGRATION ALLOWED"},
    {policy_bit::kDebugAllowed, "debug", "DEBUG ALLOWED"},
    {policy_bit::kSingleSocketRequired, "single_socket", "single socket required"},
    {policy_bit::kCxlAllowed, "cxl", "CXL allowed"},
    {policy_bit::kAes256XtsRequired, "aes_256_xts", "AES-256-XTS required"},
    {policy_bit::kRaplDisabledRequired, "rapl_disabled", "RAPL disabled required"},
    {policy_bit::kCiphertextHidingRequired, "ciphertext_hiding", "ciphertext hiding required"},
    {policy_bit::kPageSwapDisabled, "page_swap_disabled", "page swap disabled"},
};
constexpr NamedBit kPlatformBits[] = {
    {platform_bit::kSmt, "smt", "SMT"},
    {platform_bit::kTsme, "tsme", "TSME"},
    {platform_bit::kEcc, "ecc", "ECC"},
    {platform_bit::kRaplDisabled, "rapl_disabled", "RAPL disabled"},
    {platform_bit::kCiphertextHiding, "ciphertext_hiding", "ciphertext hiding"},
    {platform_bit::kAliasCheckComplete, "alias_check", "alias check complete"},
    {platform_bit::kTio, "tio", "TIO"},
};

consteval std::uint64_t all_of(std::span<const NamedBit> bits) {
  std::uint64_t all = 0;
  for (const NamedBit& bit : bits) all |= bit.mask;
  return all;
}
static_assert(all_of(kPlatformBits) == ~platform_bit::kReservedMask);
static_assert((all_of(kPolicyBits) | policy_bit::kReservedMask | policy_bit::kAlwaysOne |
               policy_bit::kAbiMajorMask | policy_bit::kAbiMinorMask) == ~0ULL);

}  // namespace

std::span<const NamedBit> policy_bits() noexcept { return kPolicyBits; }
std::span<const NamedBit> platform_bits() noexcept { return kPlatformBits; }

Result<std::uint64_t> bit_of(std::span<const NamedBit> known, std::string_view key) {
  const auto found = std::ranges::find(known, key, &NamedBit::key);
  if (found != known.end()) return found->mask;
  return fail(Errc::kInvalidArgument, "no bit of this name", key);
}

}  // namespace vhsm::snp
