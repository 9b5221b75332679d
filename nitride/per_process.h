// SPDX-License-Identifier: Apache-2.0
//
// State with locks in it, in programs that fork at any moment.
//
// A lock that another thread holds during fork() stays locked in the child for ever. So a child
// does not touch its parent's state: a page that the kernel clears on fork tells it to make its own
// at first use. This needs no pthread_atfork handler (they cannot be taken back) and no list of
// instances, and sees processes made by a raw clone as well.
// Source: madvise(2), MADV_WIPEONFORK.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/result.h"

namespace vhsm::nitride {

/// A word that is 0 at first, and 0 again in each child.
class ForkWord {
 public:
  /// @errors kInternal.
  static Result<ForkWord> create();

  ForkWord(ForkWord&& other) noexcept : word_(std::exchange(other.word_, nullptr)) {}
  ForkWord& operator=(ForkWord&&) = delete;
  ForkWord(const ForkWord&) = delete;
  ForkWord& operator=(const ForkWord&) = delete;
  ~ForkWord();

  std::atomic<std::uint32_t>& operator*() const noexcept { return *word_; }

 private:
  explicit ForkWord(std::atomic<std::uint32_t>* word) : word_(word) {}
  std::atomic<std::uint32_t>* word_;
};

/// A T for each process. Thread-safe.
template <class T>
class PerProcess {
 public:
  explicit PerProcess(ForkWord word) : word_(std::move(word)) {}
  PerProcess(const PerProcess&) = delete;
  PerProcess& operator=(const PerProcess&) = delete;
  /// What was inherited and never replaced is left alone: freeing it could wait for a lock.
  ~PerProcess() {
    if (*word_ == kReady) delete value_.load();
  }

  /// This process's T. `make` makes it when there is none: it gets the parent's T, or null, and
  /// must not wait for a lock in it. The parent's T is never freed here.
  /// @errors those of `make`, which is tried again the next time.
  template <class Make>
  Result<T*> get(Make&& make) {
    for (;;) {
      std::uint32_t seen = *word_;
      if (seen == kReady) return value_.load();
      if (seen == kEmpty && (*word_).compare_exchange_strong(seen, kMaking)) break;
      ::sched_yield();
    }
    Turn turn{*word_};
    std::unique_ptr<T> made = VHSM_TRY(std::forward<Make>(make)(value_.load()));
    value_.store(made.release());
    turn.next = kReady;
    return value_.load();
  }

 private:
  static constexpr std::uint32_t kEmpty = 0;
  static constexpr std::uint32_t kMaking = 1;
  static constexpr std::uint32_t kReady = 2;

  /// Lets the others in again, however making ended.
  struct Turn {
    std::atomic<std::uint32_t>& word;
    std::uint32_t next = kEmpty;
    ~Turn() { word.store(next); }
  };

  ForkWord word_;
  std::atomic<T*> value_{nullptr};
};

}  // namespace vhsm::nitride
