// SPDX-License-Identifier: Apache-2.0
//
// The one thread that a process has for work in the background, in programs that fork at any
// moment. A child inherits neither the thread nor locks that it may rely on: it begins anew, and
// hires a thread of its own when it has work.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/result.h"
#include "base/thread.h"
#include "memory/protected_memory.h"

namespace vhsm::keystore {

/// One process's work and whether somebody is at it. Thread-safe.
/// A Plan is the work itself, and knows nothing of threads:
///   Task                                     what there is to do
///   bool empty() const                       there is no more of it
///   std::optional<Task> take(TimePoint now)  one that is due, which nobody else gets meanwhile
///   std::optional<TimePoint> due() const     of the next one; nothing while others have them all
/// What take() has given out is out until its outcome is told: whoever performs it tells one in
/// every case, also where memory runs out.
template <class Plan>
class Desk {
 public:
  using Clock = std::chrono::steady_clock;
  using Task = typename Plan::Task;

  /// Another process's: its thread is not here, and its lock may be taken for ever.
  [[nodiscard]] bool ours() const noexcept { return generation_ == memory::generation(); }

  /// What `use` makes of the plan, which may have changed then.
  template <class Use>
  auto with(Use&& use) {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();  // they wait for the lock
    return std::forward<Use>(use)(plan_);
  }

  /// Waits until `done(plan)`, for `patience` at most.
  /// @return what `answer` makes of the plan then, before anybody else changes it.
  template <class Done, class Answer>
  auto wait(std::chrono::milliseconds patience, Done&& done, Answer&& answer) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return done(std::as_const(plan_)); });
    return std::forward<Answer>(answer)(std::as_const(plan_));
  }
  /// @return whether `done` holds.
  template <class Done>
  bool wait(std::chrono::milliseconds patience, const Done& done) {
    return wait(patience, done, done);
  }

  /// @return whether nobody is at work; then the caller is, until next() has nothing or rest().
  [[nodiscard]] bool hire() {
    const std::lock_guard lock(mutex_);
    return !std::exchange(at_work_, true);
  }
  void rest() {
    const std::lock_guard lock(mutex_);
    at_work_ = false;
  }

  /// Waits until a task is due.
  /// @return nothing when the thread has to end: then somebody else hires the next.
  std::optional<Task> next() {
    std::unique_lock lock(mutex_);
    while (!closed_) {
      if (auto task = plan_.take(Clock::now())) return task;
      if (plan_.empty()) break;
      if (const auto due = plan_.due()) {
        changed_.wait_until(lock, *due);
      } else {
        changed_.wait(lock);
      }
    }
    at_work_ = false;
    return std::nullopt;
  }

  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  const std::uint64_t generation_ = memory::generation();
  std::mutex mutex_;
  std::condition_variable changed_;
  Plan plan_;
  bool at_work_ = false;
  bool closed_ = false;
};

/// Thread-safe; usable on both sides of a fork.
template <class Plan>
class Worker {
 public:
  using DeskPtr = std::shared_ptr<Desk<Plan>>;

  Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  /// Tells the thread to end; does not wait for it.
  ~Worker() {
    if (desk_ != nullptr && desk_->ours()) desk_->close();
  }

  /// This process's. A parent's is dropped and never destroyed, as its thread and those who wait
  /// hold it too. Outside a scope.
  /// @errors kForked, kMemoryLimit.
  Result<DeskPtr> desk() {
    return memory::run_protected([this]() -> Result<DeskPtr> {
      const std::lock_guard lock(mutex_);
      if (desk_ == nullptr || !desk_->ours()) desk_ = std::make_shared<Desk<Plan>>();
      return desk_;
    });
  }

  /// Sees to it that a thread of this process performs what is on `desk`.
  /// @param perform  called with desk and task; all that it needs, it owns.
  /// @return false when the system gives no thread.
  template <class Perform>
  [[nodiscard]] static bool hire(const DeskPtr& desk, Perform perform) {
    std::function<void()> body = [desk, perform = std::move(perform)] { work(*desk, perform); };
    if (!desk->hire()) return true;
    const bool started = start_thread(std::move(body));
    if (!started) desk->rest();
    return started;
  }

 private:
  /// An exception (bad_alloc) ends the thread; then somebody else hires the next.
  template <class Perform>
  static void work(Desk<Plan>& desk, const Perform& perform) {
    try {
      while (const auto task = desk.next()) perform(desk, *task);
    } catch (...) {
      desk.rest();
    }
  }

  std::mutex mutex_;  ///< held inside scopes only, which a fork waits for
  DeskPtr desk_;
};

}  // namespace vhsm::keystore
