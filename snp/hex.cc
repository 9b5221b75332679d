// SPDX-License-Identifier: Apache-2.0
#include "snp/hex.h"

#include <charconv>

namespace vhsm::snp {

std::string to_hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 0x0F]);
  }
  return text;
}

Status from_hex(std::string_view digits, std::span<std::uint8_t> out) {
  if (digits.size() != 2 * out.size()) {
    return fail(Errc::kInvalidArgument, "a wrong number of hex digits");
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const char* first = digits.data() + 2 * i;
    const auto [end, error] = std::from_chars(first, first + 2, out[i], 16);
    if (error != std::errc{} || end != first + 2) {
      return fail(Errc::kInvalidArgument, "these are not hex digits");
    }
  }
  return {};
}

}  // namespace vhsm::snp
