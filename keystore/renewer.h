// SPDX-License-Identifier: Apache-2.0
//
// Keeps leases from running out: a thread of each process that uses keys under a gate asks anew
// before they end, so that no operation waits.
#pragma once

#include <chrono>
#include <memory>

#include "base/result.h"
#include "keystore/permit.h"
#include "keystore/worker.h"

namespace vhsm::keystore {

class Shelf;

/// Thread-safe; usable on both sides of a fork.
class Renewer {
 public:
  /// How long an operation whose lease is over waits for the first outcome.
  static constexpr std::chrono::milliseconds kPatience{200};

  /// @param patience  for the outcome where no thread can be had.
  /// @param limit  for one renewal on the thread.
  Renewer(std::shared_ptr<Shelf> shelf, std::chrono::milliseconds patience,
          std::chrono::milliseconds limit) noexcept;
  Renewer(const Renewer&) = delete;
  Renewer& operator=(const Renewer&) = delete;
  ~Renewer();

  /// From now on the lease is renewed in this process. If it is due, that is made haste with; if it
  /// is over, the first outcome is waited for. Outside a scope.
  /// @errors as Permit::ask().
  Status attend(const PermitPtr& permit, std::chrono::milliseconds patience = kPatience);

 private:
  class Round;

  static void attempt(Desk<Round>& desk, Shelf& shelf, const PermitPtr& permit,
                      std::chrono::milliseconds limit);
  static void await(Desk<Round>& desk, const PermitPtr& permit, std::chrono::milliseconds patience);

  std::shared_ptr<Shelf> shelf_;
  std::chrono::milliseconds patience_;
  std::chrono::milliseconds limit_;
  Worker<Round> worker_;
};

}  // namespace vhsm::keystore
