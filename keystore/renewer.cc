// SPDX-License-Identifier: Apache-2.0
#include "keystore/renewer.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/breaker.h"
#include "keystore/shelf.h"

namespace vhsm::keystore {
namespace {

using std::chrono::steady_clock;
using TimePoint = steady_clock::time_point;

/// An exception (bad_alloc) is an outcome, too: the lease is tried again after it.
Status renew(Shelf& shelf, Permit& permit, TimePoint deadline) noexcept {
  try {
    return shelf.renew(permit, deadline);
  } catch (...) {
    if (!permit.revoked()) permit.failed(Errc::kOutOfMemory);
    return fail(Errc::kOutOfMemory, "no memory to renew the lease", permit.uri().name.path());
  }
}

}  // namespace

/// The leases that one process renews, in the order in which they are due. Once one is here, what
/// becomes of it takes no memory.
class Renewer::Round {
 public:
  using Task = PermitPtr;

  void add(const PermitPtr& permit) {
    const auto item = items_.try_emplace(permit.get()).first;
    if (item->second.permit.lock() == permit) return;
    schedule(*item, permit->due());
    item->second.permit = permit;  // also where another one was before that nobody has any more
  }

  /// Somebody needs it now; what has just failed waits its time all the same.
  void hurry(const PermitPtr& permit) {
    const auto item = items_.find(permit.get());
    const TimePoint now = steady_clock::now();
    if (item == items_.end() || item->second.busy || item->second.due <= now) return;
    if (!item->second.rests(now)) schedule(*item, now);
  }

  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }

  std::optional<PermitPtr> take(TimePoint now) {
    while (!schedule_.empty() && schedule_.begin()->first <= now) {
      if (auto permit = taken(*items_.find(schedule_.begin()->second))) return permit;
    }
    return std::nullopt;
  }

  /// `permit`, if a try is due and nobody is at it.
  PermitPtr take(const PermitPtr& permit) {
    const auto item = items_.find(permit.get());
    if (item == items_.end() || item->second.busy) return nullptr;
    return item->second.due <= steady_clock::now() ? taken(*item) : nullptr;
  }

  [[nodiscard]] std::optional<TimePoint> due() const {
    return schedule_.empty() ? std::nullopt : std::optional(schedule_.begin()->first);
  }

  void settle(const PermitPtr& permit, const Status& renewed) {
    const auto item = items_.find(permit.get());
    if (item == items_.end()) return;
    ++item->second.tries;
    item->second.busy = false;
    if (permit->revoked() || permit->lease().lasts()) {
      items_.erase(item);
    } else {
      postpone(*item, *permit, renewed);
    }
  }

  /// How many outcomes there have been; nothing when there will be none soon.
  [[nodiscard]] std::optional<std::uint64_t> expected(const PermitPtr& permit) const {
    const auto item = items_.find(permit.get());
    if (item == items_.end() || item->second.rests(steady_clock::now())) return std::nullopt;
    return item->second.tries;
  }
  [[nodiscard]] bool passed(const PermitPtr& permit, std::uint64_t tries) const {
    const auto item = items_.find(permit.get());
    return item == items_.end() || item->second.tries != tries;
  }

 private:
  using Schedule = std::set<std::pair<TimePoint, const Permit*>>;
  struct Item {
    std::weak_ptr<Permit> permit;  ///< keys that nobody has any more are not renewed
    TimePoint due;
    Breaker breaker;
    bool busy = false;               ///< a try is under way: it is not in the schedule
    Schedule::node_type place = {};  ///< in the schedule, meanwhile
    std::uint64_t tries = 0;

    /// It has just failed.
    [[nodiscard]] bool rests(TimePoint now) const { return breaker.refusal(now).has_value(); }
  };
  using Items = std::map<const Permit*, Item>;

  void schedule(Items::value_type& item, TimePoint due) {
    auto place = schedule_.extract({item.second.due, item.first});
    if (place.empty()) place = std::move(item.second.place);
    if (place.empty()) {
      schedule_.emplace(due, item.first);
    } else {
      place.value() = {due, item.first};
      schedule_.insert(std::move(place));
    }
    item.second.due = due;
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
    item.second.place = schedule_.extract({item.second.due, item.first});
    PermitPtr permit = item.second.permit.lock();
    item.second.busy = permit != nullptr;
    if (permit == nullptr) items_.erase(item.first);
    return permit;
  }

  Items items_;
  Schedule schedule_;
};

Renewer::Renewer(std::shared_ptr<Shelf> shelf, std::chrono::milliseconds patience,
                 std::chrono::milliseconds limit) noexcept
    : shelf_(std::move(shelf)), patience_(patience), limit_(limit) {}

Renewer::~Renewer() = default;

void Renewer::attempt(Desk<Round>& desk, Shelf& shelf, const PermitPtr& permit,
                      std::chrono::milliseconds limit) {
  const Status renewed = renew(shelf, *permit, steady_clock::now() + limit);
  desk.with([&](Round& round) { round.settle(permit, renewed); });
}

/// Waits for the outcome of the try that is due or under way.
void Renewer::await(Desk<Round>& desk, const PermitPtr& permit,
                    std::chrono::milliseconds patience) {
  const auto tries = desk.with([&](const Round& round) { return round.expected(permit); });
  if (!tries.has_value()) return;
  desk.wait(patience, [&](const Round& round) { return round.passed(permit, *tries); });
}

Status Renewer::attend(const PermitPtr& permit, std::chrono::milliseconds patience) {
  const auto desk = VHSM_TRY(worker_.desk());
  const auto state = permit->lease().state();
  permit->attended();
  if (state == Lease::State::kRevoked || permit->lease().lasts()) return permit->verdict();
  desk->with([&](Round& round) { round.add(permit); });
  const bool has_thread =
      worker_.hire(desk, [shelf = shelf_, limit = limit_](auto& own, const PermitPtr& next) {
        attempt(own, *shelf, next, limit);
      });
  if (state == Lease::State::kOpen) return {};
  desk->with([&](Round& round) { round.hurry(permit); });
  if (!has_thread) {
    const auto mine = desk->with([&](Round& round) { return round.take(permit); });
    if (mine != nullptr) attempt(*desk, *shelf_, mine, patience_);
  } else if (state == Lease::State::kOver) {
    await(*desk, permit, patience);
  }
  return permit->verdict();
}

}  // namespace vhsm::keystore
