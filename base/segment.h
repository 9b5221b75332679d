// SPDX-License-Identifier: Apache-2.0
//
// The segments of a resource path, as client and KBS agree on them.
// Source: the KBS protocol 0.4.0: [A-Za-z0-9_-][A-Za-z0-9_.-]*
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace vhsm {

inline constexpr std::size_t kMaxSegmentBytes = 128;

/// Whether `text` is one segment: no slash, no leading dot, so neither "." nor "..".
[[nodiscard]] constexpr bool is_segment(std::string_view text) noexcept {
  const auto allowed = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !text.empty() && text.size() <= kMaxSegmentBytes && text.front() != '.' &&
         std::all_of(text.begin(), text.end(), allowed);
}

}  // namespace vhsm
