// SPDX-License-Identifier: Apache-2.0
//
// GUIDs in text form, in the 16 bytes of the same order, and in EFI's mixed-endian order.
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

/// EFI writes the first three groups little-endian. From either order to the other.
[[nodiscard]] Guid swap_groups(Guid guid) noexcept;

/// @errors kInvalidArgument.
[[nodiscard]] Result<Guid> parse_guid(std::string_view text);

}  // namespace vhsm::snp
