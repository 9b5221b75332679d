// SPDX-License-Identifier: Apache-2.0
#include "keystore/renewer.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <set>
#include <utility>

#include "base/breaker.h"
#include "base/thread.h"
#include "keystore/shelf.h"

namespace vhsm::keystore {
namespace {

using std::chrono::steady_clock;
using TimePoint = steady_clock::time_point;

}  // namespace

/// The leases that one process renews, in the order in which they are due.
class Renewer::Round {
 public:
  /// Another process's: its thread is not here, and its locks may be taken for ever.
  [[nodiscard]] bool ours() const noexcept { return generation_ == memory::generation(); }

  void add(const PermitPtr& permit) {
    const std::lock_guard lock(mutex_);
    const auto item = items_.try_emplace(permit.get()).first;
    if (item->second.permit.lock() == permit) return;
    item->second.permit = permit;  // also where another one was before that nobody has any more
    schedule(*item, permit->due());
    changed_.notify_all();
  }

  /// @return whether nobody is at work; then the caller is, until next() or rest().
  bool hire() {
    const std::lock_guard lock(mutex_);
    return !std::exchange(at_work_, true);
  }
  void rest() {
    const std::lock_guard lock(mutex_);
    at_work_ = false;
  }

  /// Somebody needs it now; what has just failed waits its time all the same.
  void hurry(const PermitPtr& permit) {
    const std::lock_guard lock(mutex_);
    const auto item = items_.find(permit.get());
    const TimePoint now = steady_clock::now();
    if (item == items_.end() || item->second.busy || item->second.due <= now) return;
    if (item->second.breaker.refusal(now).has_value()) return;
    schedule(*item, now);
    changed_.notify_all();
  }

  /// Waits for the outcome of the try that is due or under way.
  void wait(const PermitPtr& permit, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    const auto item = items_.find(permit.get());
    if (item == items_.end()) return;
    const std::uint64_t seen = item->second.tries;
    if (seen > 0 && item->second.breaker.refusal(steady_clock::now()).has_value()) return;
    changed_.wait_for(lock, patience, [&] {
      const auto now = items_.find(permit.get());
      return now == items_.end() || now->second.tries != seen;
    });
  }

  /// `permit`, if a try is due and nobody is at it.
  PermitPtr take(const PermitPtr& permit) {
    const std::lock_guard lock(mutex_);
    const auto item = items_.find(permit.get());
    if (item == items_.end() || item->second.busy) return nullptr;
    return item->second.due <= steady_clock::now() ? taken(*item) : nullptr;
  }

  /// Waits until a try is due.
  /// @return nothing when the thread has to end: then somebody else starts the next.
  PermitPtr next() {
    std::unique_lock lock(mutex_);
    while (!closed_ && !items_.empty()) {
      if (auto permit = take_first()) return permit;
      if (schedule_.empty()) {
        changed_.wait(lock);  // an operation is at the only one
      } else {
        const TimePoint due = schedule_.begin()->first;
        changed_.wait_until(lock, due);
      }
    }
    at_work_ = false;
    return nullptr;
  }

  void settle(const PermitPtr& permit, const Status& renewed) {
    const std::lock_guard lock(mutex_);
    const auto item = items_.find(permit.get());
    if (item == items_.end()) return;
    ++item->second.tries;
    item->second.busy = false;
    if (permit->revoked() || permit->lease().lasts()) {
      items_.erase(item);
    } else {
      postpone(*item, *permit, renewed);
    }
    changed_.notify_all();
  }

  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  struct Item {
    std::weak_ptr<Permit> permit;  ///< keys that nobody has any more are not renewed
    TimePoint due;
    Breaker breaker;
    bool busy = false;  ///< a try is under way: it is not in the schedule
    std::uint64_t tries = 0;
  };
  using Items = std::map<const Permit*, Item>;

  void schedule(Items::value_type& item, TimePoint due) {
    schedule_.erase({item.second.due, item.first});
    item.second.due = due;
    schedule_.emplace(due, item.first);
  }

  void postpone(Items::value_type& item, const Permit& permit, const Status& renewed) {
    Breaker& breaker = item.second.breaker;
    if (renewed.ok()) {
      breaker.succeeded();
      return schedule(item, permit.due());
    }
    const TimePoint now = steady_clock::now();
    breaker.failed(renewed.error(), now, jitter(now));
    schedule(item, breaker.until());
  }

  PermitPtr taken(Items::value_type& item) {
    schedule_.erase({item.second.due, item.first});
    PermitPtr permit = item.second.permit.lock();
    item.second.busy = permit != nullptr;
    if (permit == nullptr) items_.erase(item.first);
    return permit;
  }

  PermitPtr take_first() {
    while (!schedule_.empty() && schedule_.begin()->first <= steady_clock::now()) {
      if (auto permit = taken(*items_.find(schedule_.begin()->second))) return permit;
    }
    return nullptr;
  }

  const std::uint64_t generation_ = memory::generation();
  std::mutex mutex_;
  std::condition_variable changed_;
  Items items_;
  std::set<std::pair<TimePoint, const Permit*>> schedule_;
  bool at_work_ = false;
  bool closed_ = false;
};

Renewer::~Renewer() {
  if (round_ != nullptr && round_->ours()) round_->close();
}

/// A parent's is dropped here and never destroyed, as its thread and those who wait hold it too.
Result<std::shared_ptr<Renewer::Round>> Renewer::round() {
  return memory::run_protected([&]() -> Result<std::shared_ptr<Round>> {
    const std::lock_guard lock(mutex_);
    if (round_ == nullptr || !round_->ours()) round_ = std::make_shared<Round>();
    return round_;
  });
}

void Renewer::attempt(Round& round, Shelf& shelf, const PermitPtr& permit,
                      std::chrono::milliseconds limit) {
  round.settle(permit, shelf.renew(*permit, steady_clock::now() + limit));
}

/// @return whether this process has its thread.
bool Renewer::hire(const std::shared_ptr<Round>& round) {
  if (!round->hire()) return true;
  const bool started = start_thread([round, shelf = shelf_, limit = limit_] {
    while (const auto permit = round->next()) attempt(*round, *shelf, permit, limit);
  });
  if (!started) round->rest();
  return started;
}

Status Renewer::attend(const PermitPtr& permit) {
  const auto round = VHSM_TRY(this->round());
  const auto state = permit->lease().state();
  permit->attended();
  if (state == Lease::State::kRevoked || permit->lease().lasts()) return permit->verdict();
  round->add(permit);
  const bool has_thread = hire(round);
  if (state == Lease::State::kOpen) return {};
  round->hurry(permit);
  if (!has_thread) {
    if (const auto mine = round->take(permit)) attempt(*round, *shelf_, mine, patience_);
  } else if (state == Lease::State::kOver) {
    round->wait(permit, kPatience);
  }
  return permit->verdict();
}

}  // namespace vhsm::keystore
