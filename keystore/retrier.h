// SPDX-License-Identifier: Apache-2.0
//
// Keys that could not be had when their stand-ins were loaded. A server answers many clients from
// one thread: it gets the key, or the reason why not, at once, and a thread of ours waits instead.
#pragma once

#include <chrono>
#include <memory>

#include "keystore/keystore.h"
#include "keystore/shelf.h"
#include "keystore/worker.h"

namespace vhsm::keystore {

/// Thread-safe; usable on both sides of a fork. Each process has a thread of its own while
/// somebody wants a key that is missing there, and none otherwise.
class Retrier {
 public:
  /// How long the first who asks waits for the first outcome: a KBS that answers serves the first
  /// client already, one that does not must not hold up the others.
  static constexpr std::chrono::milliseconds kPatience{200};

  Retrier(std::shared_ptr<Shelf> shelf, const Deadlines& deadlines) noexcept;
  Retrier(const Retrier&) = delete;
  Retrier& operator=(const Retrier&) = delete;
  ~Retrier();

  /// The key if it is here. Else what the URI asks for is wanted from now on, until it comes. Where
  /// the system gives no thread, a caller makes the try that is due itself, for load_wait at most.
  /// @param patience  how long the first who asks waits for the first outcome.
  /// @errors at once those of the last try, as Keystore::open(); kUnreachable while the first
  /// lasts.
  Result<Entry> open(const KeyUri& uri, std::chrono::milliseconds patience = kPatience);

 private:
  class Wanted;

  static void attempt(Desk<Wanted>& desk, Shelf& shelf, const KeyUri& uri,
                      std::chrono::milliseconds patience);
  void attempt_here(Desk<Wanted>& desk);

  std::shared_ptr<Shelf> shelf_;
  std::chrono::milliseconds load_wait_;
  std::chrono::milliseconds fetch_timeout_;
  Worker<Wanted> worker_;
};

}  // namespace vhsm::keystore
