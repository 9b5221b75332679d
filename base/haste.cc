// SPDX-License-Identifier: Apache-2.0
#include "base/haste.h"

#include <algorithm>

namespace vhsm {
namespace {

/// Longer than a change of a folder takes that a thread beside this one makes.
constexpr std::chrono::milliseconds kMoment{50};

constinit thread_local bool t_hasty = false;

}  // namespace

Haste::Haste() noexcept : outer_(t_hasty) { t_hasty = true; }
Haste::~Haste() { t_hasty = outer_; }

std::chrono::milliseconds Haste::limit(std::chrono::milliseconds patience) noexcept {
  return t_hasty ? std::min(patience, kMoment) : patience;
}

}  // namespace vhsm
