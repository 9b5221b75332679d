// SPDX-License-Identifier: Apache-2.0
//
// Spares callers the wait for what was just found dead, and spares the dead a crowd at its door.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/error.h"

namespace vhsm {

/// Different in each process and moment: enough to keep many from coming at once.
[[nodiscard]] inline std::uint8_t jitter(std::chrono::steady_clock::time_point now) noexcept {
  return static_cast<std::uint8_t>(now.time_since_epoch().count() / 1000);
}

/// Closed at first, so the first try always goes through. One thread at a time.
class Breaker {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::milliseconds kLeast{250};
  static constexpr std::chrono::milliseconds kFirst{1000};
  /// Also the longest time for which an outage outlasts its cause.
  static constexpr std::chrono::milliseconds kMost{5000};

  /// Why not to try at `now`; nothing when a try is due.
  [[nodiscard]] std::optional<Error> refusal(TimePoint now) const {
    return now < until_ ? reason_ : std::nullopt;
  }

  /// When a try is due.
  [[nodiscard]] TimePoint until() const noexcept { return until_; }

  /// Opens for 1 s at most, and for twice as long after each further failure up to 5 s.
  /// @param jitter  random: spreads the wait over all of that (full jitter), so that a thousand VMs
  ///                do not come back at the same moment; but one that lasts no time spares nobody.
  void failed(const Error& reason, TimePoint now, std::uint8_t jitter) {
    reason_ = reason;
    until_ = now + kLeast + (wait_ - kLeast) * jitter / 255;
    wait_ = std::min(wait_ * 2, kMost);
  }

  void succeeded() { *this = Breaker(); }

 private:
  std::optional<Error> reason_;
  TimePoint until_;
  std::chrono::milliseconds wait_ = kFirst;
};

}  // namespace vhsm
