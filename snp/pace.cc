// SPDX-License-Identifier: Apache-2.0
#include "snp/pace.h"

#include <algorithm>

namespace vhsm::snp {

std::optional<TimePoint> Pace::take(TimePoint now, TimePoint latest) noexcept {
  const Clock::duration credit = limits_.interval * (limits_.at_once - 1);
  Clock::rep before = paid_.load();
  TimePoint turn;
  TimePoint after;
  do {
    const TimePoint paid{Clock::duration(before)};
    turn = std::max(now, paid - credit);
    if (turn > latest) return std::nullopt;
    after = std::max(now, paid) + limits_.interval;
  } while (!paid_.compare_exchange_weak(before, after.time_since_epoch().count()));
  return turn;
}

}  // namespace vhsm::snp
