// SPDX-License-Identifier: Apache-2.0
//
// The two base64 alphabets, each with one accepted spelling for each byte string. Not constant
// time: for public bytes only.
// Source: RFC 4648, sections 3.5, 4 and 5; RFC 7515, section 2 (base64url without padding).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::jose {

/// URL-safe alphabet, no padding: what JOSE calls BASE64URL.
[[nodiscard]] std::string base64url(std::span<const std::uint8_t> bytes);
[[nodiscard]] std::string base64url(std::string_view bytes);

/// Standard alphabet, padded: nonces and x5c.
[[nodiscard]] std::string base64(std::span<const std::uint8_t> bytes);

/// Refuses padding, blanks, other alphabets, impossible lengths and stray bits.
/// @errors kBadFormat.
[[nodiscard]] Result<std::vector<std::uint8_t>> from_base64url(std::string_view text);

/// Refuses missing padding and whatever from_base64url() refuses.
/// @errors kBadFormat.
[[nodiscard]] Result<std::vector<std::uint8_t>> from_base64(std::string_view text);

}  // namespace vhsm::jose
