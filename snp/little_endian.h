// SPDX-License-Identifier: Apache-2.0
//
// Little-endian numbers in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vhsm::snp {

/// All of `bytes`, 8 at most.
[[nodiscard]] constexpr std::uint64_t read_number(std::span<const std::uint8_t> bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

/// The first four bytes of `bytes`, which has them.
[[nodiscard]] constexpr std::uint32_t read_u32(std::span<const std::uint8_t> bytes) noexcept {
  return static_cast<std::uint32_t>(read_number(bytes.first(4)));
}

/// Fills `into`; what of `value` does not fit is dropped.
constexpr void write_number(std::span<std::uint8_t> into, std::uint64_t value) noexcept {
  for (std::uint8_t& byte : into) {
    byte = static_cast<std::uint8_t>(value);
    value >>= 8;
  }
}

}  // namespace vhsm::snp
