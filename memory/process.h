// SPDX-License-Identifier: Apache-2.0
//
// The one thing that is per process: arena, gate and fork flag together. Constant-initialised and
// trivially destructible, because teardown of a provider can run after static destructors, or
// never.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "memory/arena.h"
#include "memory/chunks.h"
#include "memory/gate.h"
#include "memory/generators.h"
#include "memory/protected_memory.h"
#include "memory/protection_key.h"

namespace vhsm::memory {

inline constexpr std::size_t kMaxSlots = 64;

/// The ids of the processes that lead to this one. A FIPS provider renews its generators in a child
/// because its id is another than its parent's; in a new pid namespace, ids come again.
class Ancestors {
 public:
  void add(pid_t id) noexcept {
    if (count_ > ids_.size() || (count_ > 0 && ids_[count_ - 1] == id)) return;
    if (count_ < ids_.size()) ids_[count_] = id;
    ++count_;
  }
  /// Whether one had this id; also when there are too many to say.
  [[nodiscard]] bool may_include(pid_t id) const noexcept {
    const auto known = std::span(ids_).first(std::min(count_, ids_.size()));
    return count_ > ids_.size() || std::ranges::find(known, id) != known.end();
  }

 private:
  std::size_t count_ = 0;
  std::array<pid_t, 1024> ids_{};
};

struct Process {
  std::atomic<bool> ready{false};
  bool mapped = false;
  Kind kind = Kind::kNone;  ///< the weaker one of arena and stacks
  ProtectionKey key;        ///< of arena, standby and stacks
  Arena arena;
  Chunks chunks;  ///< the pages of the arena
  Gate gate;
  ForkFlag flag;
  std::array<Slot, kMaxSlots> slots{};
  unsigned wide_registers = 0;  ///< see vhsm_clear_wide_registers
  std::atomic<std::uint64_t> generation{0};
  Generators generators;             ///< empty: the kernel, which keeps none here
  Ancestors ancestors;               ///< kept for those
  std::atomic<bool> same_id{false};  ///< this child has no keys because of them
  std::atomic<bool> no_room{false};  ///< this child got no copy because of RLIMIT_MEMLOCK
  std::atomic<bool> stale{false};    ///< this child has not renewed those generators yet
};

/// Constant-initialised, so that reaching it costs no guard on the path of every allocation.
extern constinit Process g_process;
[[nodiscard]] inline Process& process() noexcept { return g_process; }

/// The slot that the calling thread took for its scope; null outside.
extern constinit thread_local Slot* t_slot;

/// Whether the arena has been found full since the calling thread's scope began.
extern constinit thread_local bool t_exhausted;

/// The slot of the scope that the calling thread is in; null outside. A thread that a handler of
/// the host has taken out of its scope (on an alternate stack, or for good by siglongjmp) is
/// outside.
[[nodiscard]] inline Slot* held_slot() noexcept {
  Slot* const slot = t_slot;
  return slot == nullptr || slot->has_on_stack(__builtin_frame_address(0)) ? slot : nullptr;
}

/// Gives up the scope out of which the calling thread has jumped, if it has.
/// @errors kWrongState in a signal handler that interrupted a scope: the scope goes on after it.
Status recover_from_jump() noexcept;

/// `size` bytes of the arena for the holder of `slot`; null when it is full. Remembers that for
/// detail::ran_out().
[[nodiscard]] void* allocate_for(Slot& slot, std::size_t size) noexcept;

/// Gives each slot a fresh stack, at a place of its own: once, and in each child, which does not
/// get its parent's and where the host may have mapped something in their place. Async-signal-safe.
/// @errors kMemoryLimit.
Status map_stacks(Process& process, std::span<Slot> slots) noexcept;

/// Makes sure of the memory behind a stack: work on a key must not end where its stack grows. With
/// the protection key open. @return false when there is none.
[[nodiscard]] bool touch_stack(Slot& slot, Kind kind) noexcept;

/// With nobody on the stack.
void wipe_stack(Slot& slot) noexcept;

/// Gives fork() its handlers. @errors kInternal.
Status install_fork_handlers();

/// Makes the calling thread leave the private OpenSSL inside a scope when it ends.
void register_thread() noexcept;

/// Starts the given generators of the calling thread, or renews them in a child; without such sees
/// that the kernel gives random numbers. In scope.
/// @errors kCrypto.
Status start_generators();

/// Blocks all but synchronous signals, holds a slot and opens the protection key: the ticket to the
/// arena. A host's handler must neither run while keys are in registers (its frame could lie on an
/// ordinary stack) nor fork while this thread holds a slot.
class Inside {
 public:
  Inside() noexcept;
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  [[nodiscard]] Slot& slot() noexcept { return *slot_; }

 private:
  unsigned long old_mask_ = 0;
  Slot* slot_;
  std::uint32_t old_rights_;
};

}  // namespace vhsm::memory
