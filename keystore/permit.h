// SPDX-License-Identifier: Apache-2.0
//
// What a key under a gate asks before each use.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/result.h"
#include "keystore/key_name.h"
#include "keystore/lease.h"
#include "memory/protected_memory.h"

namespace vhsm::keystore {

class Key;
class Renewer;
class SymmetricKey;

/// One for each key under a gate; a key without a gate has none. Thread-safe; usable on both sides
/// of a fork.
class Permit : public std::enable_shared_from_this<Permit> {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// @param at_source  the key is the source's, whose word decides; else it was made here, and a
  ///                   proof of this VM does.
  Permit(KeyUri uri, bool at_source, const GateTerms& terms,
         std::weak_ptr<Renewer> renewer) noexcept
      : uri_(std::move(uri)), at_source_(at_source), lease_(terms), renewer_(std::move(renewer)) {}

  /// Whether the key may be used now. Outside a scope. Cheap while the lease is far from its end;
  /// waits (for a short time, or where no thread can be had for one try) only when it is over.
  /// @errors those of the source, with the key as subject.
  Status ask() {
    if (attended_.load(std::memory_order_relaxed) == memory::generation() &&
        lease_.state() == Lease::State::kOpen) {
      return {};
    }
    return ask_slowly();
  }

  /// Whether this VM has to be proved before the key may be used.
  [[nodiscard]] bool closed() const noexcept { return lease_.state() == Lease::State::kOver; }
  /// For a key that is being opened: has this VM proved now if it has to be, and waits for what
  /// comes of it, which ask() then tells. Outside a scope.
  void prepare(std::chrono::milliseconds patience);

  [[nodiscard]] bool revoked() const noexcept { return lease_.state() == Lease::State::kRevoked; }

  // ----- for those who renew it

  /// What the lease says, and why.
  [[nodiscard]] Status verdict() const;
  [[nodiscard]] Lease& lease() noexcept { return lease_; }
  [[nodiscard]] const KeyUri& uri() const noexcept { return uri_; }
  [[nodiscard]] bool at_source() const noexcept { return at_source_; }
  /// When the proof that holds was accepted: one that renews it is begun later.
  [[nodiscard]] TimePoint proven() const noexcept { return proven_.load(); }
  /// A renewal is due then, as far as this clock can tell.
  [[nodiscard]] TimePoint due() const noexcept;
  /// This process has somebody who renews it.
  void attended() noexcept { attended_.store(memory::generation(), std::memory_order_relaxed); }

  /// A proof that was begun at `since` was accepted before `proven`.
  void grant(BootTime since, TimePoint proven) noexcept;
  /// The key was made then: an earlier proof does not do.
  void came_to_be(TimePoint at) noexcept { proven_.store(at); }
  /// The source was away, and a copy has been found: for so long.
  void lend(std::chrono::seconds left) noexcept;
  void failed(Errc why) noexcept { why_.store(why, std::memory_order_relaxed); }
  /// Whose permit it is. Once, before anybody else has it; either may be null.
  void belong_to(std::weak_ptr<const Key> key,
                 std::weak_ptr<const SymmetricKey> symmetric) noexcept;
  /// The key was taken back: it is wiped, whoever has it.
  void revoke(Errc why) noexcept;

 private:
  Status ask_slowly();

  const KeyUri uri_;
  const bool at_source_;
  Lease lease_;
  const std::weak_ptr<Renewer> renewer_;
  std::weak_ptr<const Key> key_;
  std::weak_ptr<const SymmetricKey> symmetric_;
  std::atomic<std::uint64_t> attended_{~std::uint64_t{0}};
  std::atomic<TimePoint> proven_{TimePoint::min()};
  std::atomic<Errc> why_{Errc::kNotAttested};
};

using PermitPtr = std::shared_ptr<Permit>;

}  // namespace vhsm::keystore
