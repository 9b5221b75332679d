// SPDX-License-Identifier: Apache-2.0
#include "jose/secret_jwk.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

namespace vhsm::jose {
namespace {

constexpr std::string_view kBefore = R"({"kty":"oct","key_ops":["release"],"k":")";
constexpr std::string_view kBehind = R"("})";

/// All ones where `six` is at least `least`.
constexpr unsigned from(unsigned six, unsigned least) noexcept {
  return 0U - static_cast<unsigned>(six >= least);
}

/// The character of base64url for six bits; without a table, since its lines would tell the secret.
/// Source: RFC 4648, section 5.
constexpr std::uint8_t base64url_character(unsigned six) noexcept {
  unsigned code = six + 'A';
  code += from(six, 26) & ('a' - 'Z' - 1);
  code -= from(six, 52) & ('a' + 26 - '0');
  code -= from(six, 62) & ('0' + 10 - '-');
  code += from(six, 63) & ('_' - '-' - 1);
  return static_cast<std::uint8_t>(code);
}
static_assert(base64url_character(0) == 'A' && base64url_character(25) == 'Z');
static_assert(base64url_character(26) == 'a' && base64url_character(51) == 'z');
static_assert(base64url_character(52) == '0' && base64url_character(61) == '9');
static_assert(base64url_character(62) == '-' && base64url_character(63) == '_');

constexpr std::size_t encoded_size(std::size_t bytes) noexcept { return (bytes * 4 + 2) / 3; }

void encode(std::span<const std::uint8_t> bytes, std::span<std::uint8_t> text) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t bit = 6 * i;
    const unsigned high = bytes[bit / 8];
    const unsigned low = bit / 8 + 1 < bytes.size() ? bytes[bit / 8 + 1] : 0U;
    text[i] = base64url_character((high << 8 | low) >> (10 - bit % 8) & 63U);
  }
}

void put(std::string_view literal, std::span<std::uint8_t> into) noexcept {
  std::ranges::copy(literal, into.begin());
}

}  // namespace

Result<SecretBytes> releasable(const SecretBytes& secret) {
  return memory::run_protected([&]() -> Result<SecretBytes> {
    const std::size_t size = encoded_size(secret.size());
    auto jwk = VHSM_TRY(SecretBytes::zeros(kBefore.size() + size + kBehind.size()));
    const auto text = jwk.expose();
    put(kBefore, text);
    encode(secret.expose(), text.subspan(kBefore.size(), size));
    put(kBehind, text.subspan(kBefore.size() + size));
    return jwk;
  });
}

}  // namespace vhsm::jose
