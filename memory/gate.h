// SPDX-License-Identifier: Apache-2.0
//
// Who may touch the arena now. A thread takes a slot before it works in protected memory or frees
// some of it; fork() closes the gate, so that the copy for the child is a consistent one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "memory/arena.h"

namespace vhsm::memory {

enum class SlotState : std::uint8_t {
  kFree,
  kTaken,   ///< its thread may be anywhere in the arena
  kPaused,  ///< its thread waits in Gate::pause(): a fork may copy the arena now
  kBarred,  ///< there is no memory for its stack
};

/// What one thread at a time owns while it is inside: a stack and a magazine. On cache lines of its
/// own, so that threads that sign at the same time do not meet.
struct alignas(64) Slot {
  std::atomic<SlotState> state{SlotState::kFree};
  std::byte* stack_top = nullptr;  ///< 16-byte aligned; the stack grows down from here
  std::size_t stack_bytes = 0;
  bool touched = false;             ///< each page of the stack can be used
  std::atomic<bool> used{false};    ///< the stack has something on it
  std::atomic<bool> soiled{false};  ///< to be wiped by whoever leaves it next
  int cancel_state = 0;             ///< of the thread inside, as it was
  Magazine magazine;

  [[nodiscard]] bool has_on_stack(const void* address) const noexcept {
    const auto below_top =
        reinterpret_cast<std::uintptr_t>(stack_top) - reinterpret_cast<std::uintptr_t>(address);
    return below_top <= stack_bytes;
  }
};

/// Recognises a child that no atfork handler has seen (raw clone): the kernel wipes the page in
/// every child, and only the handler writes it again. Process ids do not serve: parent and child in
/// nested pid namespaces can both be 1.
class ForkFlag {
 public:
  constexpr ForkFlag() = default;
  /// @return false when the kernel gives no page or no MADV_WIPEONFORK.
  bool map() noexcept;
  void raise() noexcept { page_->store(kRaised, std::memory_order_relaxed); }
  [[nodiscard]] bool raised() const noexcept {
    return page_ != nullptr && page_->load(std::memory_order_relaxed) == kRaised;
  }

 private:
  static constexpr std::uint64_t kRaised = 0x7668736d2d6f6b21;
  std::atomic<std::uint64_t>* page_ = nullptr;
};

class Gate {
 public:
  constexpr Gate() = default;
  void adopt(std::span<Slot> slots) noexcept { slots_ = slots; }
  [[nodiscard]] std::span<Slot> slots() const noexcept { return slots_; }

  /// Waits for a free slot and, during another thread's fork, for its end; but not for ever: that
  /// thread may be waiting, in a handler of the host, for a lock that this one has.
  [[nodiscard]] Slot& enter() noexcept;
  /// `slot` if no one has it, whether or not a fork waits: for a caller that is inside already.
  [[nodiscard]] static bool try_enter(Slot& slot) noexcept;
  static void leave(Slot& slot) noexcept {
    slot.state.store(SlotState::kFree, std::memory_order_release);
  }

  /// Instead of leave(): for the rest of this process's life. Never the last one.
  static void bar(Slot& slot) noexcept {
    slot.state.store(SlotState::kBarred, std::memory_order_release);
  }

  /// Lets a waiting fork pass while `slot` is kept: for long work, at points where the arena is
  /// consistent. The fork's child does not have the calling thread.
  void pause(Slot& slot) noexcept;

  /// Keeps everyone out. @return whether all who were inside left within `patience`.
  bool close(std::chrono::milliseconds patience) noexcept;
  void open() noexcept {
    reset_warnings();
    closed_.store(false, std::memory_order_release);
  }
  /// Whether someone is about to go in although the gate is closed: the child's copy is none.
  [[nodiscard]] bool warned() const noexcept { return warned_.load(std::memory_order_seq_cst); }
  /// The calling thread forks: the closed gate is its own. Handlers of the host that run between
  /// ours may use keys.
  static void set_forking(bool forking) noexcept;
  /// How often enter() found every slot taken.
  [[nodiscard]] std::uint64_t waits() const noexcept {
    return waits_.load(std::memory_order_relaxed);
  }
  /// In a child: threads that were inside are not there any more.
  void open_in_child() noexcept;

 private:
  [[nodiscard]] Slot* try_take() noexcept;
  [[nodiscard]] bool forced() const noexcept { return forced_.load(std::memory_order_seq_cst); }
  void reset_warnings() noexcept {
    warned_.store(false, std::memory_order_relaxed);
    forced_.store(false, std::memory_order_relaxed);
  }
  void wait_for_fork() noexcept;
  void wait_for_slot() noexcept;

  std::span<Slot> slots_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> warned_{false};
  std::atomic<bool> forced_{false};
  std::atomic<std::uint64_t> waits_{0};
};

}  // namespace vhsm::memory
