// SPDX-License-Identifier: Apache-2.0
//
// A thread that answers many must not wait long for somebody else.
#pragma once

#include <algorithm>
#include <chrono>

namespace vhsm {

/// While one lives, its thread waits for another process or thread for a moment at most: what takes
/// longer fails, and is done again by a thread that may wait. Nests.
class Haste {
 public:
  Haste() noexcept : outer_(here()) { here() = true; }
  ~Haste() { here() = outer_; }
  Haste(const Haste&) = delete;
  Haste& operator=(const Haste&) = delete;

  /// What is left of `patience` on the calling thread.
  [[nodiscard]] static std::chrono::milliseconds limit(
      std::chrono::milliseconds patience) noexcept {
    return here() ? std::min(patience, kMoment) : patience;
  }

 private:
  /// Longer than a change of a folder takes that a thread beside this one makes.
  static constexpr std::chrono::milliseconds kMoment{50};

  static bool& here() noexcept {
    constinit static thread_local bool hasty = false;
    return hasty;
  }

  const bool outer_;
};

}  // namespace vhsm
