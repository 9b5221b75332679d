// SPDX-License-Identifier: Apache-2.0
//
// How often a guest asks its host. Hosts throttle guests, and a request that one holds back keeps
// the kernel's lock on the firmware from everybody else for up to a minute. Source: linux
// drivers/virt/coco/sev-guest (SNP_REQ_RETRY_DELAY); GHCB specification, 4.1.8.
#pragma once

#include <atomic>
#include <optional>

#include "base/deadline.h"

namespace vhsm::snp {

/// So many turns at once, and one each `interval` after that. Without a lock, so that a fork finds
/// it usable. Thread-safe.
class Pace {
 public:
  struct Limits {
    Clock::duration interval;
    unsigned at_once;
  };

  explicit Pace(const Limits& limits) noexcept : limits_(limits) {}

  /// Takes the next turn.
  /// @return when it comes (often at once); nothing, and no turn taken, if after `latest`.
  [[nodiscard]] std::optional<TimePoint> take(TimePoint now, TimePoint latest) noexcept;

 private:
  Limits limits_;
  /// When all turns taken so far will have been paid for by time.
  std::atomic<Clock::rep> paid_{0};
};

}  // namespace vhsm::snp
