// SPDX-License-Identifier: Apache-2.0
//
// The one thing that is per process: arena, gate and fork flag together. Constant-initialised and
// trivially destructible, because teardown of a provider can run after static destructors, or
// never.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "memory/arena.h"
#include "memory/gate.h"
#include "memory/protected_memory.h"

namespace vhsm::memory {

inline constexpr std::size_t kMaxSlots = 64;

struct Process {
  std::atomic<bool> ready{false};
  Kind kind = Kind::kNone;
  Arena arena;
  Gate gate;
  ForkFlag flag;
  std::array<Slot, kMaxSlots> slots{};
  std::span<std::byte> stacks;   ///< all stacks and the guard pages between them
  std::span<std::byte> standby;  ///< where a fork copies the arena to (kSecretMemory only)
  bool standby_backed = false;
  unsigned wide_registers = 0;  ///< see vhsm_clear_wide_registers
  std::atomic<std::uint64_t> generation{0};
  std::atomic<bool> reseed{false};  ///< this child has not renewed its random generators yet
};

/// Constant-initialised, so that reaching it costs no guard on the path of every allocation.
extern constinit Process g_process;
[[nodiscard]] inline Process& process() noexcept { return g_process; }

/// The slot that the calling thread holds as its scope; null outside.
extern constinit thread_local Slot* t_slot;

/// Remembers for detail::ran_out() that the arena was full.
void note_exhaustion() noexcept;

/// Backs the stacks of all slots with fresh pages: once, and in each child.
/// Async-signal-safe. @errors kMemoryLimit.
Status back_stacks(Process& process) noexcept;

/// Gives fork() its handlers. @errors kInternal.
Status install_fork_handlers();

/// Backs and touches the standby area, so that the next fork only copies.
void prepare_standby(Process& process) noexcept;

/// Renews the private OpenSSL's random generators from the kernel. In scope.
/// @errors kCrypto.
Status reseed_generators();

/// Starts the private OpenSSL and its random generators, which then live in the arena. In scope.
/// @errors kCrypto.
Status start_generators();

/// Blocks all but synchronous signals and holds a slot: the ticket to the arena. A host's handler
/// must neither run while keys are in registers (its frame could lie on an ordinary stack) nor fork
/// while this thread holds a slot.
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
};

}  // namespace vhsm::memory
