// SPDX-License-Identifier: Apache-2.0
//
// Bytes as hex digits, for configuration, states and messages. Not for secrets: not constant-time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm::snp {

/// Two lower-case digits for each byte.
[[nodiscard]] std::string to_hex(std::span<const std::uint8_t> bytes);

/// Fills `out` from exactly 2 * out.size() digits of either case.
/// @errors kInvalidArgument.
Status from_hex(std::string_view digits, std::span<std::uint8_t> out);

}  // namespace vhsm::snp
