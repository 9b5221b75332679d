// SPDX-License-Identifier: Apache-2.0
#include "keystore/hot_set.h"

#include <algorithm>

namespace vhsm::keystore {
namespace {

// One key more needs about the room of one key less; the bound keeps a scope short.
constexpr std::size_t kMostAtOnce = 8;

constinit HotSet g_hot_set;

}  // namespace

HotSet& hot_set() noexcept { return g_hot_set; }

void HotSet::add(HotMember& member) noexcept {
  const std::lock_guard lock(mutex_);
  member.warmth_.store(HotMember::Warmth::kIdle);
  link(member);
}

void HotSet::remove(HotMember& member) noexcept {
  const std::lock_guard lock(mutex_);
  member.warmth_.store(HotMember::Warmth::kCold);
  if (member.next_ != nullptr) unlink(member);
}

/// The capacity is asked for each time: protected memory may grow.
bool HotSet::keys_fill(std::size_t quarters) noexcept {
  const std::size_t in_use = memory::in_use_bytes();
  std::size_t floor = 0;
  if (floor_bytes_.compare_exchange_strong(floor, in_use, std::memory_order_relaxed))
    floor = in_use;
  const std::size_t capacity = std::max(memory::capacity_bytes(), floor);
  return in_use > floor + (capacity - floor) / 4 * quarters;
}

Status HotSet::make_room() noexcept {
  for (std::size_t i = 0; i < kMostAtOnce && keys_fill(2) && evict(1) == 1; ++i) {
  }
  if (!keys_fill(3)) return {};
  return fail(Errc::kMemoryLimit, "operations under way leave no protected memory for this key");
}

std::size_t HotSet::evict(std::size_t most) noexcept {
  const std::lock_guard lock(mutex_);
  std::size_t evicted = 0;
  while (evicted < most && evict_one()) ++evicted;
  evictions_.fetch_add(evicted, std::memory_order_relaxed);
  return evicted;
}

/// Twice round at most: the first time every member may turn out to be in use.
bool HotSet::evict_one() noexcept {
  using Warmth = HotMember::Warmth;
  for (std::size_t steps = 2 * size_; steps > 0; --steps) {
    HotMember& member = *hand_;
    hand_ = member.next_;
    Warmth idle = Warmth::kIdle;
    // Cold before it is emptied: who gives something back after that sees that it is.
    if (!member.warmth_.compare_exchange_strong(idle, Warmth::kCold)) {
      member.warmth_.store(Warmth::kIdle);
    } else if (member.shield()) {
      unlink(member);
      return true;
    } else {
      member.warmth_.store(Warmth::kUsed);
    }
  }
  return false;
}

/// Behind the hand, so that the hand comes to it last.
void HotSet::link(HotMember& member) noexcept {
  if (hand_ == nullptr) hand_ = member.next_ = member.previous_ = &member;
  member.next_ = hand_;
  member.previous_ = hand_->previous_;
  hand_->previous_->next_ = &member;
  hand_->previous_ = &member;
  size_.fetch_add(1, std::memory_order_relaxed);
}

void HotSet::unlink(HotMember& member) noexcept {
  member.previous_->next_ = member.next_;
  member.next_->previous_ = member.previous_;
  if (hand_ == &member) hand_ = member.next_ == &member ? nullptr : member.next_;
  member.next_ = member.previous_ = nullptr;
  size_.fetch_sub(1, std::memory_order_relaxed);
}

void HotSet::count_key(bool comes) noexcept {
  keys_.fetch_add(comes ? 1 : ~std::uint64_t{0}, std::memory_order_relaxed);
}

HotSetCounters HotSet::counters() const noexcept {
  const std::uint64_t hot = size_.load(std::memory_order_relaxed);
  const std::uint64_t keys = keys_.load(std::memory_order_relaxed);
  return {hot, keys - std::min(hot, keys), unshieldings_.load(std::memory_order_relaxed),
          evictions_.load(std::memory_order_relaxed)};
}

}  // namespace vhsm::keystore
