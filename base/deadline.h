// SPDX-License-Identifier: Apache-2.0
//
// Points in time that end waiting. All waiting for somebody else is against one of them.
#pragma once

#include <algorithm>
#include <chrono>

namespace vhsm {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

/// What is left until `deadline`, rounded up, as poll(2) wants it: 0 when it has passed.
[[nodiscard]] inline int poll_milliseconds(TimePoint deadline) noexcept {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  constexpr std::chrono::milliseconds kMost{std::chrono::hours{1}};
  return static_cast<int>(std::clamp(left, std::chrono::milliseconds{0}, kMost).count());
}

}  // namespace vhsm
