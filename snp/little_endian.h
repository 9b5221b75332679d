// SPDX-License-Identifier: Apache-2.0
//
// Numbers in bytes from outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vhsm::snp {

/// The first four bytes of `bytes`, which has them.
[[nodiscard]] inline std::uint32_t read_u32(std::span<const std::uint8_t> bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 4; i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

/// Writes the low 32 bits of `value` to the first four bytes of `into`.
inline void write_u32(std::span<std::uint8_t> into, std::size_t value) {
  for (std::size_t i = 0; i < 4; ++i) into[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

}  // namespace vhsm::snp
