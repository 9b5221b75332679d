// SPDX-License-Identifier: Apache-2.0
//
// The lists of parameter names that a key type has.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

namespace vhsm::keystore {

[[nodiscard]] inline bool one_of(std::span<const char* const> names,
                                 std::string_view name) noexcept {
  return std::ranges::find(names, name, [](const char* one) { return std::string_view(one); }) !=
         names.end();
}

}  // namespace vhsm::keystore
