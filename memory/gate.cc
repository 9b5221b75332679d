// SPDX-License-Identifier: Apache-2.0
#include "memory/gate.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "memory/pages.h"

namespace vhsm::memory {
namespace {

/// Where this thread found its slot last time: almost always free again. No destructor, so it works
/// in thread exit too.
thread_local std::size_t t_last_slot = 0;

constinit thread_local bool t_forking = false;

/// The system call itself: nanosleep(3) is a cancellation point.
void nap() noexcept {
  const timespec pause{0, 20'000};
  ::syscall(SYS_nanosleep, &pause, nullptr);
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
    const bool shut = closed_.load(std::memory_order_seq_cst) && !t_forking;
    if (slot != nullptr && (!shut || forced())) return *slot;
    if (slot != nullptr) leave(*slot);
    if (shut) wait_for_fork();
    if (slot == nullptr) wait_for_slot();
  }
}

void Gate::wait_for_fork() noexcept {
  constexpr std::chrono::milliseconds kLongest{2000};  // twice what close() waits
  constexpr std::chrono::milliseconds kWarning{100};   // longer than the kernel copies a process
  const auto start = std::chrono::steady_clock::now();
  while (closed_.load(std::memory_order_acquire) && !forced()) {
    nap();
    if (!closed_.load(std::memory_order_seq_cst)) return;  // no warning for the next fork
    const auto waited = std::chrono::steady_clock::now() - start;
    if (waited > kLongest) warned_.store(true, std::memory_order_seq_cst);
    if (waited > kLongest + kWarning) forced_.store(true, std::memory_order_seq_cst);
  }
}

void Gate::wait_for_slot() noexcept {
  constexpr std::uint64_t kYields = 64;  // a real-time thread must let others run, too
  if (waits_.fetch_add(1, std::memory_order_relaxed) % kYields == 0) return nap();
  ::sched_yield();
}

void Gate::set_forking(bool forking) noexcept { t_forking = forking; }

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
  reset_warnings();
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
