// SPDX-License-Identifier: Apache-2.0
//
// Spares callers the wait for an endpoint that was just found dead.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/error.h"
#include "nitride/deadline.h"

namespace vhsm::nitride {

/// Closed at first, so the first try always goes through. One thread at a time.
class Breaker {
 public:
  static constexpr std::chrono::milliseconds kFirst{1000};
  static constexpr std::chrono::milliseconds kMost{30000};

  /// Why not to try at `now`; nothing when a try is due.
  [[nodiscard]] std::optional<Error> refusal(TimePoint now) const {
    return now < until_ ? reason_ : std::nullopt;
  }

  /// Opens for 1 s, and twice as long after each further failure up to 30 s.
  /// @param jitter  random: spreads the wait over 3/4 to 5/4 of that, so that a thousand VMs do not
  ///                come back at the same moment.
  void failed(const Error& reason, TimePoint now, std::uint8_t jitter) {
    reason_ = reason;
    until_ = now + wait_ * 3 / 4 + wait_ * jitter / (2 * 255);
    wait_ = std::min(wait_ * 2, kMost);
  }

  void succeeded() { *this = Breaker(); }

 private:
  std::optional<Error> reason_;
  TimePoint until_;
  std::chrono::milliseconds wait_ = kFirst;
};

}  // namespace vhsm::nitride
