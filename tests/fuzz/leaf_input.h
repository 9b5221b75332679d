// SPDX-License-Identifier: Apache-2.0
//
// What leaf_fuzz and its seeds agree on: the extensions that a number stands for, some of them
// unknown.
#pragma once

#include <array>

namespace vhsm::fuzz {

inline constexpr std::array<const char*, 16> kSuffixes{"1",   "2",   "3.1",  "3.2", "3.3", "3.4",
                                                       "3.5", "3.6", "3.7",  "3.8", "3.9", "4",
                                                       "5",   "6",   "3.10", "3"};

}  // namespace vhsm::fuzz
