// SPDX-License-Identifier: Apache-2.0
#include "tests/residue/forms.h"

#include <algorithm>
#include <string_view>

namespace vhsm::tests {
namespace {

Bytes reversed(const Bytes& bytes) { return {bytes.rbegin(), bytes.rend()}; }

Bytes big_endian(const Value& value) {
  return value.little_endian ? reversed(value.bytes) : value.bytes;
}
Bytes little_endian(const Value& value) {
  return value.little_endian ? value.bytes : reversed(value.bytes);
}

/// Filled up with zeros to whole words.
Bytes whole_words(const Value& value, std::size_t word) {
  Bytes bytes = little_endian(value);
  bytes.resize((bytes.size() + word - 1) / word * word);
  return bytes;
}

Bytes swapped_within_words(Bytes bytes, std::size_t word) {
  for (auto at = bytes.begin(); at != bytes.end(); at += static_cast<std::ptrdiff_t>(word)) {
    std::reverse(at, at + static_cast<std::ptrdiff_t>(word));
  }
  return bytes;
}

/// Words of this machine, the most significant first. (The least significant first is the
/// little-endian form.)
template <std::size_t Word>
Bytes high_words_first(const Value& value) {
  return swapped_within_words(reversed(whole_words(value, Word)), Word);
}

/// Big-endian words, the least significant first.
template <std::size_t Word>
Bytes swapped_words(const Value& value) {
  return swapped_within_words(whole_words(value, Word), Word);
}

bool bit(const Bytes& low_first, std::size_t index) {
  return index / 8 < low_first.size() && ((low_first[index / 8] >> (index % 8)) & 1) != 0;
}

/// Digits of `Bits` bits in words of 64, the least significant first.
template <std::size_t Bits>
Bytes digits(const Value& value) {
  const Bytes number = little_endian(value);
  const std::size_t count = (number.size() * 8 + Bits - 1) / Bits;
  Bytes words(count * 8);
  for (std::size_t i = 0; i < count * Bits; ++i) {
    const std::size_t to = i / Bits * 64 + i % Bits;
    if (bit(number, i)) words[to / 8] |= static_cast<std::uint8_t>(1U << (to % 8));
  }
  return words;
}

Bytes digits_21(const Value& value) { return value.little_endian ? digits<21>(value) : Bytes{}; }

/// Digits from -8 to 8 in a byte each, which the scalar multiplications of Curve25519 make.
Bytes signed_nibbles(const Value& value) {
  if (!value.little_endian) return {};
  Bytes result;
  int carry = 0;
  for (const std::uint8_t byte : value.bytes) {
    for (const int nibble : {byte & 15, byte >> 4}) {
      const int digit = nibble + carry;
      carry = (digit + 8) >> 4;
      result.push_back(static_cast<std::uint8_t>(digit - carry * 16));
    }
  }
  return result;
}

/// The characters that depend on the value alone when it begins `Before` bytes behind a group.
template <std::size_t Before>
Bytes base64(const Value& value) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::size_t bits = value.bytes.size() * 8;
  Bytes text;
  for (std::size_t at = (6 - Before * 8 % 6) % 6; at + 6 <= bits; at += 6) {
    std::size_t character = 0;
    for (std::size_t i = at; i < at + 6; ++i) {
      character = character << 1 | ((value.bytes[i / 8] >> (7 - i % 8)) & 1U);
    }
    text.push_back(static_cast<std::uint8_t>(kAlphabet[character]));
  }
  return text;
}

/// With the two characters that JSON Web Keys have in place of others.
template <std::size_t Before>
Bytes base64url(const Value& value) {
  Bytes text = base64<Before>(value);
  std::ranges::replace(text, std::uint8_t{'+'}, std::uint8_t{'-'});
  std::ranges::replace(text, std::uint8_t{'/'}, std::uint8_t{'_'});
  return text;
}

Bytes hex_of(const Bytes& bytes, std::string_view alphabet, bool colons) {
  Bytes text;
  for (const std::uint8_t byte : bytes) {
    if (colons && !text.empty()) text.push_back(':');
    text.push_back(static_cast<std::uint8_t>(alphabet[byte >> 4]));
    text.push_back(static_cast<std::uint8_t>(alphabet[byte & 15]));
  }
  return text;
}

Bytes lower_hex(const Value& value) { return hex_of(value.bytes, "0123456789abcdef", false); }
Bytes upper_hex(const Value& value) { return hex_of(value.bytes, "0123456789ABCDEF", false); }
Bytes colon_hex(const Value& value) { return hex_of(value.bytes, "0123456789abcdef", true); }

}  // namespace

const std::vector<Form>& forms() {
  static const std::vector<Form> all{
      {"big-endian", big_endian, 16, true},
      {"little-endian", little_endian, 16, true},
      {"64-bit limbs, high first", high_words_first<8>, 16, true},
      {"32-bit limbs, high first", high_words_first<4>, 16, true},
      {"64-bit limbs, swapped", swapped_words<8>, 16, true},
      {"32-bit limbs, swapped", swapped_words<4>, 16, true},
      {"52-bit digits", digits<52>, 16, true},
      {"29-bit digits", digits<29>, 24, false},
      {"21-bit digits", digits_21, 32, false},
      {"signed 4-bit digits", signed_nibbles, 32, false},
      {"base64", base64<0>, 16, false},
      {"base64, 1 byte on", base64<1>, 16, false},
      {"base64, 2 bytes on", base64<2>, 16, false},
      {"base64url", base64url<0>, 16, false},
      {"base64url, 1 byte on", base64url<1>, 16, false},
      {"base64url, 2 bytes on", base64url<2>, 16, false},
      {"hex", lower_hex, 16, false},
      {"hex, upper case", upper_hex, 16, false},
      {"hex with colons", colon_hex, 32, false},
  };
  return all;
}

}  // namespace vhsm::tests
