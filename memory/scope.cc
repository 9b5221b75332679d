// SPDX-License-Identifier: Apache-2.0
//
// Into a scope and out of it.
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "memory/process.h"
#include "memory/protected_memory.h"
#include "memory/sanitizer.h"

extern "C" void vhsm_call_on_stack(void (*function)(void*), void* argument, void* stack_top);
extern "C" void vhsm_clear_wide_registers(unsigned level);

namespace vhsm::memory {

constinit thread_local Slot* t_slot = nullptr;
constinit thread_local bool t_exhausted = false;

namespace {

constexpr unsigned long bit(int signal) { return 1UL << (signal - 1); }
constexpr unsigned long kSynchronousSignals = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) |
                                              bit(SIGILL) | bit(SIGTRAP) | bit(SIGABRT) |
                                              bit(SIGSYS);

/// The system call itself: pthread_sigmask() would leave glibc's own two signals unblocked.
void change_signal_mask(int how, unsigned long mask, unsigned long* old) noexcept {
  ::syscall(SYS_rt_sigprocmask, how, &mask, old, sizeof mask);
}

bool asynchronous_signals_blocked() noexcept {
  unsigned long mask = 0;
  change_signal_mask(SIG_BLOCK, 0, &mask);
  constexpr unsigned long kUnblockable = bit(SIGKILL) | bit(SIGSTOP);
  return (~mask & ~kSynchronousSignals & ~kUnblockable) == 0;
}

/// With memory for its stack, which the first has in any case.
Slot& enter_gate(Process& process) noexcept {
  while (true) {
    Slot& slot = process.gate.enter();
    if (slot.touched || touch_stack(slot, process.kind)) return slot;
    Gate::bar(slot);
  }
}

}  // namespace

Inside::Inside() noexcept {
  change_signal_mask(SIG_BLOCK, ~kSynchronousSignals, &old_mask_);
  // Nothing in here can be unwound: a thread that is cancelled goes on to the end of the scope.
  int cancel_state = 0;
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  old_rights_ = g_process.key.open();
  slot_ = &enter_gate(g_process);
  slot_->cancel_state = cancel_state;
}

Inside::~Inside() {
  if (slot_->soiled.load(std::memory_order_relaxed)) wipe_stack(*slot_);
  g_process.key.restore(old_rights_);
  const int cancel_state = slot_->cancel_state;
  Gate::leave(*slot_);
  ::pthread_setcancelstate(cancel_state, nullptr);
  change_signal_mask(SIG_SETMASK, old_mask_, nullptr);
}

Access::Access() noexcept : old_rights_(g_process.key.open()) {
  if (g_process.ready.load(std::memory_order_acquire)) register_thread();
}
Access::~Access() { g_process.key.restore(old_rights_); }

namespace {

void wipe_idle_stacks(const Slot* own) noexcept {
  for (Slot& slot : g_process.gate.slots()) {
    if (!slot.used.load(std::memory_order_relaxed)) continue;
    slot.soiled.store(true, std::memory_order_relaxed);
    if (&slot == own || !Gate::try_enter(slot)) continue;
    wipe_stack(slot);
    Gate::leave(slot);
  }
}

}  // namespace

void wipe_stacks() noexcept {
  if (!usable()) return;
  if (const Slot* const own = held_slot(); own != nullptr) return wipe_idle_stacks(own);
  Inside inside;
  wipe_idle_stacks(&inside.slot());
}

namespace {

/// Whether a thread outside the scope that it is in is in a handler of the host, and goes back.
/// With SS_AUTODISARM the kernel has forgotten the alternate stack for as long as the handler runs;
/// there the scope's signal mask tells, which siglongjmp() would have undone.
bool in_handler() noexcept {
  stack_t alternate{};
  ::sigaltstack(nullptr, &alternate);
  if ((alternate.ss_flags & SS_ONSTACK) != 0) return true;
  return (alternate.ss_flags & SS_DISABLE) != 0 && asynchronous_signals_blocked();
}

}  // namespace

Status recover_from_jump() noexcept {
  if (t_slot == nullptr || held_slot() != nullptr) return {};
  if (in_handler()) {
    return fail(Errc::kWrongState, "a signal handler interrupted work on a key");
  }
  Slot& slot = *std::exchange(t_slot, nullptr);
  // Nobody will ever unlock it, and the arena may be half changed.
  if (g_process.arena.is_locked_by(slot.magazine)) std::abort();
  const Access access;
  wipe_stack(slot);
  ::pthread_setcancelstate(slot.cancel_state, nullptr);
  Gate::leave(slot);
  return {};
}

namespace {

struct Entry {
  void (*body)(void*) noexcept;
  void* argument;
  Slot* slot;
  Status status;
};

/// First on the protected stack: a child renews a FIPS provider's generators before it does
/// anything.
void enter_scope(void* raw) {
  auto& entry = *static_cast<Entry*>(raw);
  sanitizer::arrived();
  t_slot = entry.slot;
  if (g_process.stale.load(std::memory_order_relaxed)) {
    entry.status = start_generators();
    if (entry.status.ok()) g_process.stale.store(false, std::memory_order_relaxed);
  }
  if (entry.status.ok()) entry.body(entry.argument);
  t_slot = nullptr;
  sanitizer::leaving();
}

Status why_not_usable() noexcept {
  if (g_process.same_id.load(std::memory_order_relaxed)) {
    return fail(Errc::kForked,
                "fips = yes: an ancestor in another pid namespace has this process's id");
  }
  if (g_process.no_room.load(std::memory_order_relaxed)) {
    return fail(Errc::kMemoryLimit, "no protected memory left for a child process");
  }
  return fail(Errc::kForked, "this process has no protected memory of its own");
}

}  // namespace

namespace detail {

bool ran_out() noexcept { return t_exhausted; }

Status run(void (*body)(void*) noexcept, void* argument) noexcept {
  if (held_slot() != nullptr) {
    body(argument);
    return {};
  }
  VHSM_TRY(recover_from_jump());
  if (!g_process.ready.load(std::memory_order_acquire)) {
    return fail(Errc::kWrongState, "protected memory is not initialised");
  }
  if (!g_process.flag.raised()) {
    g_process.chunks.unmap();
    return why_not_usable();
  }
  register_thread();
  t_exhausted = false;
  Inside inside;
  inside.slot().used.store(true, std::memory_order_relaxed);
  Entry entry{body, argument, &inside.slot(), {}};
  sanitizer::departing(inside.slot());
  vhsm_call_on_stack(enter_scope, &entry, inside.slot().stack_top);
  sanitizer::returned();
  vhsm_clear_wide_registers(g_process.wide_registers);
  return entry.status;
}

}  // namespace detail
}  // namespace vhsm::memory
