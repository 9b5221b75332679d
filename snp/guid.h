// SPDX-License-Identifier: Apache-2.0
//
// GUIDs in text form and in the 16 bytes of the same order, or of EFI's mixed-endian one.
// Source: RFC 4122, section 3.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm::snp {

inline constexpr std::size_t kGuidBytes = 16;
using Guid = std::array<std::uint8_t, kGuidBytes>;

/// "63da758d-e664-4564-adc5-f4b93be8accd".
[[nodiscard]] std::string to_text(const Guid& guid);

/// @errors kInvalidArgument.
[[nodiscard]] Result<Guid> parse_guid(std::string_view text);

/// From one order of bytes to the other: EFI writes the first three groups little-endian.
[[nodiscard]] Guid swap_groups(Guid guid);

}  // namespace vhsm::snp
