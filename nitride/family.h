// SPDX-License-Identifier: Apache-2.0
//
// What the processes of one family share: a server's workers would otherwise make an attestation
// each when the key could not be had before they were forked.
//
// A family is a process that made a client and all that were forked from it since. They share
// ordinary memory with the sessions in it, sealed (AES-256-GCM) under a key that every
// member has in its protected memory. A member that has gone bad can deny the others its help, and
// nothing more: they attest for themselves then.
// Source: pthread_mutexattr_setrobust(3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"
#include "memory/secret_bytes.h"
#include "nitride/exchange.h"

namespace vhsm::nitride {

/// Thread-safe; usable in each forked child.
class Family {
 public:
  /// @errors kOutOfMemory, kCrypto, kMemoryLimit, kForked.
  static Result<Family> create(std::size_t endpoints);

  Family(Family&&) noexcept;
  Family& operator=(Family&&) = delete;
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;
  ~Family();

  /// The right to attest at one endpoint, among all members. Given back at its end, or by the
  /// kernel when its process dies.
  class Turn {
   public:
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();

    /// The last session that a member published, if there is one, it has not ended, its number is
    /// above `after`, and it began at `since` or later.
    [[nodiscard]] std::optional<Session> newest(std::uint64_t after, TimePoint since) const;

    /// Lets the others have `session`, and numbers it. One that is too large for its place is
    /// numbered only.
    void publish(Session& session) const;

   private:
    friend class Family;
    Turn(const Family& family, std::size_t endpoint, bool locked)
        : family_(family), endpoint_(endpoint), locked_(locked) {}

    const Family& family_;
    std::size_t endpoint_;
    bool locked_;  ///< false: the lock is beyond repair, and this member is on its own
  };

  /// Waits for the right until `deadline`.
  /// @return null when another member still has it then.
  [[nodiscard]] std::unique_ptr<Turn> wait(std::size_t endpoint, TimePoint deadline) const;

  /// The number of the last session that a member published: 0 before the first.
  [[nodiscard]] std::uint64_t last(std::size_t endpoint) const noexcept;

 private:
  struct Place;

  Family(Place* places, std::size_t count, SecretBytes key)
      : places_(places), count_(count), key_(std::move(key)) {}

  Place* places_;
  std::size_t count_;
  SecretBytes key_;
};

}  // namespace vhsm::nitride
