// SPDX-License-Identifier: Apache-2.0
//
// The bits of POLICY and PLATFORM_INFO by name: to print them, and to ask for them in a policy
// file. Source: AMD 56860, tables POLICY and PLATFORM_INFO.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace vhsm::snp {

struct NamedBit {
  std::uint64_t mask;
  std::string_view key;      ///< as a policy file has it
  std::string_view meaning;  ///< of the bit set, in a few words
};

[[nodiscard]] std::span<const NamedBit> policy_bits() noexcept;
[[nodiscard]] std::span<const NamedBit> platform_bits() noexcept;

/// @errors kInvalidArgument for a name that `known` lacks.
[[nodiscard]] Result<std::uint64_t> bit_of(std::span<const NamedBit> known, std::string_view key);

}  // namespace vhsm::snp
