// SPDX-License-Identifier: Apache-2.0
//
// Keys that could not be had when their stand-ins were loaded. A server answers many clients from
// one thread: it gets the key, or the reason why not, at once, and a thread of ours waits instead.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>

#include "keystore/keystore.h"
#include "keystore/shelf.h"

namespace vhsm::keystore {

/// Thread-safe; usable on both sides of a fork. Each process has a thread of its own while
/// somebody wants a key that is missing there, and none otherwise.
class Retrier {
 public:
  /// How long the first who asks waits for the first outcome: a KBS that answers serves the first
  /// client already, one that does not must not hold up the others.
  static constexpr std::chrono::milliseconds kPatience{200};

  Retrier(std::shared_ptr<Shelf> shelf, const Deadlines& deadlines) noexcept
      : shelf_(std::move(shelf)),
        load_wait_(deadlines.load_wait),
        fetch_timeout_(deadlines.fetch_timeout) {}
  Retrier(const Retrier&) = delete;
  Retrier& operator=(const Retrier&) = delete;
  /// Tells the thread to end; does not wait for it.
  ~Retrier();

  /// The key if it is here. Else it is wanted from now on, until it comes. Where the system gives
  /// no thread, a caller makes the try that is due itself, for load_wait at most.
  /// @param patience  how long the first who asks waits for the first outcome.
  /// @errors at once those of the last try, as Keystore::open(); kUnreachable while the first
  /// lasts.
  Result<Entry> open(const KeyUri& uri, std::chrono::milliseconds patience = kPatience);

 private:
  class Wanted;

  Result<std::shared_ptr<Wanted>> wanted();
  static void attempt(Wanted& wanted, Shelf& shelf, const KeyUri& uri,
                      std::chrono::milliseconds patience);
  void attempt_here(Wanted& wanted);

  std::shared_ptr<Shelf> shelf_;
  std::chrono::milliseconds load_wait_;
  std::chrono::milliseconds fetch_timeout_;
  std::mutex mutex_;  ///< held inside scopes only, as the shelf's
  std::shared_ptr<Wanted> wanted_;
};

}  // namespace vhsm::keystore
