// SPDX-License-Identifier: Apache-2.0
//
// The two base64 alphabets.
#include "jose/base64.h"

#include <array>

namespace vhsm::jose {
namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlSafe =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t kNoDigit = 0xFF;

using Digits = std::array<std::uint8_t, 256>;

constexpr Digits digits_of(std::string_view alphabet) {
  Digits digits{};
  digits.fill(kNoDigit);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    digits[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return digits;
}
constexpr Digits kStandardDigits = digits_of(kStandard);
constexpr Digits kUrlSafeDigits = digits_of(kUrlSafe);

std::string encode(std::span<const std::uint8_t> bytes, std::string_view alphabet) {
  std::string text;
  text.reserve((bytes.size() * 4 + 2) / 3 + 2);
  std::uint32_t pending = 0;
  int bits = 0;
  for (const std::uint8_t byte : bytes) {
    pending = (pending << 8) | byte;
    for (bits += 8; bits >= 6; bits -= 6) text += alphabet[(pending >> (bits - 6)) & 0x3F];
  }
  if (bits > 0) text += alphabet[(pending << (6 - bits)) & 0x3F];
  return text;
}

Result<std::vector<std::uint8_t>> decode(std::string_view text, const Digits& digits) {
  if (text.size() % 4 == 1) return fail(Errc::kBadFormat, "impossible base64 length");
  std::vector<std::uint8_t> bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t pending = 0;
  int bits = 0;
  for (const char c : text) {
    const std::uint8_t digit = digits[static_cast<unsigned char>(c)];
    if (digit == kNoDigit) return fail(Errc::kBadFormat, "a character outside base64");
    pending = (pending << 6) | digit;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<std::uint8_t>(pending >> bits));
    pending &= (1U << bits) - 1;
  }
  if (pending != 0) return fail(Errc::kBadFormat, "stray bits at the end of base64");
  return bytes;
}

}  // namespace

std::string base64url(std::span<const std::uint8_t> bytes) { return encode(bytes, kUrlSafe); }

std::string base64url(std::string_view bytes) {
  return base64url({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

std::string base64(std::span<const std::uint8_t> bytes) {
  std::string text = encode(bytes, kStandard);
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

Result<std::vector<std::uint8_t>> from_base64url(std::string_view text) {
  return decode(text, kUrlSafeDigits);
}

Result<std::vector<std::uint8_t>> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return fail(Errc::kBadFormat, "base64 without its padding");
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return decode(text, kStandardDigits);
}

}  // namespace vhsm::jose
