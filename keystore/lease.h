// SPDX-License-Identifier: Apache-2.0
//
// For how long a key may be used on one proof of this VM. Pure computation on a clock, so that a
// test can set it.
// Source: clock_gettime(2), CLOCK_BOOTTIME: it goes on while the machine is suspended, and nobody
// in the guest can set it. The host can hold it: leases bind the guest, not the host.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

namespace vhsm::keystore {

/// Since boot.
using BootTime = std::chrono::nanoseconds;
[[nodiscard]] BootTime boot_now() noexcept;

enum class Gate : std::uint8_t {
  kNone,      ///< a key that is here may be used
  kFirstUse,  ///< once this VM has been proved since the key came to be
  kLease,     ///< the same, for a time
};

struct GateTerms {
  Gate gate = Gate::kNone;
  std::chrono::milliseconds lease{0};  ///< of kLease
  std::chrono::milliseconds grace{0};  ///< by how much a lease is longer in an outage of the KBS
  BootTime (*now)() noexcept = boot_now;
};

/// Closed at first. Any number of threads may look; grant(), lend(), stretch() and revoke() are for
/// one at a time. A fork copies it in any state: it has no lock.
class Lease {
 public:
  enum class State : std::uint8_t {
    kOpen,
    kDue,      ///< open, and it is time to renew it
    kOver,     ///< not granted yet, or over
    kRevoked,  ///< for good
  };

  explicit Lease(const GateTerms& terms) noexcept : terms_(terms) {}

  [[nodiscard]] State state() const noexcept {
    const Count ends = ends_.load(std::memory_order_acquire);
    if (ends == kForever) return State::kOpen;
    if (ends == kNever) return State::kRevoked;
    const Count now = terms_.now().count();
    if (now >= ends) return State::kOver;
    return now < due_.load(std::memory_order_relaxed) ? State::kOpen : State::kDue;
  }

  /// Open for good: there is nothing to renew.
  [[nodiscard]] bool lasts() const noexcept {
    return ends_.load(std::memory_order_relaxed) == kForever;
  }

  /// When it is to be renewed.
  [[nodiscard]] BootTime due() const noexcept {
    return BootTime(due_.load(std::memory_order_relaxed));
  }
  [[nodiscard]] BootTime now() const noexcept { return terms_.now(); }
  [[nodiscard]] const GateTerms& terms() const noexcept { return terms_; }

  /// The proof that was begun at `since` was accepted.
  /// @param jitter  random: spreads the renewal over the third quarter of the lease, so that a
  ///                thousand VMs do not come at the same moment.
  void grant(BootTime since, std::uint8_t jitter) noexcept {
    if (ends_.load() == kNever) return;
    if (terms_.gate != Gate::kLease) return ends_.store(kForever, std::memory_order_release);
    const BootTime lease = terms_.lease;
    granted_ = since;
    due_.store((since + lease / 2 + lease / 4 * jitter / kMostJitter).count());
    ends_.store((since + lease).count(), std::memory_order_release);
  }

  /// Open until then without a proof of this boot; one is due at once, and nothing stretches it.
  void lend(BootTime until) noexcept {
    granted_ = until - terms_.lease - terms_.grace;
    due_.store(terms_.now().count());
    ends_.store(until.count(), std::memory_order_release);
  }

  /// The KBS cannot be reached: what was granted holds for the grace more.
  /// @return whether that is news.
  bool stretch() noexcept {
    const Count ends = ends_.load();
    const Count later = (granted_ + terms_.lease + terms_.grace).count();
    const bool granted = ends != 0 && ends != kNever && ends != kForever;
    if (!granted || later <= ends) return false;
    ends_.store(later, std::memory_order_release);
    return true;
  }

  void revoke() noexcept { ends_.store(kNever, std::memory_order_release); }

 private:
  using Count = BootTime::rep;
  static constexpr Count kForever = std::numeric_limits<Count>::max();
  static constexpr Count kNever = std::numeric_limits<Count>::min();
  static constexpr int kMostJitter = 255;

  GateTerms terms_;
  BootTime granted_{0};  ///< begin of the proof that holds
  std::atomic<Count> ends_{0};
  std::atomic<Count> due_{0};
};

}  // namespace vhsm::keystore
