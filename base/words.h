// SPDX-License-Identifier: Apache-2.0
//
// Lists in the values of settings.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

namespace vhsm {

/// The parts of `text` between any number of `separators`: none of them empty. Views into `text`.
[[nodiscard]] inline std::vector<std::string_view> words(std::string_view text,
                                                         std::string_view separators = " \t,") {
  std::vector<std::string_view> found;
  for (;;) {
    const auto from = text.find_first_not_of(separators);
    if (from == text.npos) return found;
    text.remove_prefix(from);
    const auto end = std::min(text.find_first_of(separators), text.size());
    found.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

}  // namespace vhsm
