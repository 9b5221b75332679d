// SPDX-License-Identifier: Apache-2.0
#include "memory/gate.h"

#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <new>

#include "memory/pages.h"

namespace vhsm::memory {
namespace {

/// Where this thread found its slot last time: almost always free again. No destructor, so it works
/// in thread exit too.
thread_local std::size_t t_last_slot = 0;

void nap() noexcept {
  const timespec pause{0, 20'000};
  ::nanosleep(&pause, nullptr);
}

}  // namespace

bool ForkFlag::map() noexcept {
  void* page =
      ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || ::madvise(page, kPageBytes, MADV_WIPEONFORK) != 0) return false;
  page_ = new (page) std::atomic<std::uint64_t>(0);
  raise();
  return true;
}

bool Gate::try_enter(Slot& slot) noexcept {
  SlotState free = SlotState::kFree;
  return slot.state.load(std::memory_order_relaxed) == SlotState::kFree &&
         slot.state.compare_exchange_strong(free, SlotState::kTaken, std::memory_order_seq_cst);
}

Slot* Gate::try_take() noexcept {
  for (std::size_t tries = 0; tries < slots_.size(); ++tries) {
    Slot& slot = slots_[t_last_slot % slots_.size()];
    if (try_enter(slot)) return &slot;
    ++t_last_slot;
  }
  return nullptr;
}

Slot& Gate::enter() noexcept {
  while (true) {
    Slot* slot = try_take();
    // Both this load and the exchange above are sequentially consistent, as are close()'s store and
    // loads: either we see the gate closed, or close() sees the slot taken.
    if (slot != nullptr && !closed_.load(std::memory_order_seq_cst)) return *slot;
    if (slot != nullptr) leave(*slot);
    while (closed_.load(std::memory_order_acquire)) nap();
    if (slot != nullptr) continue;
    waits_.fetch_add(1, std::memory_order_relaxed);
    ::sched_yield();
  }
}

void Gate::pause(Slot& slot) noexcept {
  while (closed_.load(std::memory_order_relaxed)) {
    slot.state.store(SlotState::kPaused, std::memory_order_seq_cst);
    while (closed_.load(std::memory_order_acquire)) nap();
    slot.state.store(SlotState::kTaken, std::memory_order_seq_cst);
    // A second fork may have closed the gate, and seen us paused, just before the line above.
    if (!closed_.load(std::memory_order_seq_cst)) return;
  }
}

bool Gate::close(std::chrono::milliseconds patience) noexcept {
  closed_.store(true, std::memory_order_seq_cst);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const auto quiet = [](const Slot& slot) {
    return slot.state.load(std::memory_order_seq_cst) != SlotState::kTaken;
  };
  while (!std::ranges::all_of(slots_, quiet)) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    nap();
  }
  return true;
}

void Gate::open_in_child() noexcept {
  for (Slot& slot : slots_) slot.state.store(SlotState::kFree, std::memory_order_relaxed);
  open();
}

}  // namespace vhsm::memory
