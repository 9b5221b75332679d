// SPDX-License-Identifier: Apache-2.0
#include "memory/protected_memory.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "memory/pages.h"
#include "memory/process.h"
#include "memory/sanitizer.h"

extern "C" void vhsm_call_on_stack(void (*function)(void*), void* argument, void* stack_top);
extern "C" void vhsm_clear_wide_registers(unsigned level);

namespace vhsm::memory {
namespace {

constexpr std::size_t kSmallestArenaBytes = std::size_t{256} << 10;
constexpr std::size_t kStackStride = kScopeStackBytes + kPageBytes;  // with its guard page

thread_local bool t_exhausted = false;

// ----- signals --------------------------------------------------------------------------------

constexpr unsigned long bit(int signal) { return 1UL << (signal - 1); }
constexpr unsigned long kSynchronousSignals = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) |
                                              bit(SIGILL) | bit(SIGTRAP) | bit(SIGABRT) |
                                              bit(SIGSYS);

/// The system call itself: pthread_sigmask() would leave glibc's own two signals unblocked.
void change_signal_mask(int how, unsigned long mask, unsigned long* old) noexcept {
  ::syscall(SYS_rt_sigprocmask, how, &mask, old, sizeof mask);
}

// ----- layout ---------------------------------------------------------------------------------

struct Layout {
  std::size_t slots;
  std::size_t arena_bytes;
};

std::size_t limit_of(const Options& options) noexcept {
  if (options.limit_bytes != 0) return options.limit_bytes;
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return kDefaultLimitBytes;
  // A quarter stays for what the host itself may want to lock.
  return std::min<std::size_t>(kDefaultLimitBytes, limit.rlim_cur) / 4 * 3;
}

Result<Layout> lay_out(std::size_t limit, Kind kind) {
  const std::size_t threads = std::thread::hardware_concurrency() + 8U;
  const std::size_t affordable = limit / 4 / kScopeStackBytes;
  const std::size_t slots = std::min({threads, affordable, kMaxSlots});
  const std::size_t rest = limit - slots * kScopeStackBytes;
  const std::size_t share = kind == Kind::kSecretMemory ? rest / 2 : rest;  // the rest is standby
  const std::size_t arena_bytes = share / kPageBytes * kPageBytes;
  if (slots == 0 || arena_bytes < kSmallestArenaBytes) {
    return fail(Errc::kMemoryLimit, "the memory limit leaves too little room for keys");
  }
  return Layout{slots, arena_bytes};
}

/// Zeroed ordinary memory for the rest of the process's life.
template <class T>
Result<std::span<T>> bookkeeping(std::size_t count) {
  void* raw = ::mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return fail(Errc::kOutOfMemory, "no memory for bookkeeping");
  return std::span(static_cast<T*>(raw), count);
}

std::size_t extend(std::size_t pages) noexcept { return g_process.chunks.extend(pages); }

Status map_arena(Process& process, std::size_t bytes) {
  const auto pages = VHSM_TRY(reserve(bytes));
  const auto page_map = VHSM_TRY(bookkeeping<std::uint8_t>(bytes / kPageBytes));
  const auto run_pages = VHSM_TRY(bookkeeping<std::uint32_t>(bytes / kPageBytes));
  std::span<std::byte> standby;
  if (process.kind == Kind::kSecretMemory) standby = VHSM_TRY(reserve(bytes));
  process.chunks.adopt(pages, standby, process.kind, process.key);
  process.arena.adopt(pages, page_map, run_pages, extend);
  sanitizer::add_root(pages);
  return {};
}

unsigned wide_registers() noexcept {
  if (__builtin_cpu_supports("avx512f")) return 2;
  return __builtin_cpu_supports("avx") ? 1 : 0;
}

/// What RLIMIT_MEMLOCK does not cover can be had only now, by a privilege that may be dropped.
bool wants_all_now(const Options& options) noexcept {
  rlimit limit{};
  return ::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit_of(options) > limit.rlim_cur;
}

Status map_all(Process& process, const Options& options, Kind kind) {
  process.kind = kind;
  const Layout layout = VHSM_TRY(lay_out(limit_of(options), kind));
  const auto slots = std::span(process.slots).first(layout.slots);
  VHSM_TRY(map_stacks(process, slots));
  process.gate.adopt(slots);
  VHSM_TRY(map_arena(process, layout.arena_bytes));
  return wants_all_now(options) ? process.chunks.back_all() : process.chunks.back_first();
}

void unmap_all(Process& process) noexcept {
  for (const Slot& slot : process.gate.slots()) {
    unback({slot.stack_top - slot.stack_bytes, slot.stack_bytes});
  }
  process.gate.adopt({});
  process.chunks.unmap();
}

bool wants_locked(const Options& options) noexcept {
  const char* form = ::secure_getenv("VHSM_MEMORY");
  return options.force_locked || (form != nullptr && std::strcmp(form, "locked") == 0);
}

/// Secret memory, if there is enough of it for a start.
Status map_best(Process& process, const Options& options) {
  if (!wants_locked(options) && secret_memory_available()) {
    if (map_all(process, options, Kind::kSecretMemory).ok()) return {};
    unmap_all(process);
  }
  return map_all(process, options, Kind::kLocked);
}

Status map_once(Process& process, const Options& options) {
  if (!process.flag.map()) return fail(Errc::kInternal, "the kernel has no MADV_WIPEONFORK");
  if (options.protection_key && !process.key.taken()) process.key.take();
  return map_best(process, options);
}

Status initialise_once(Process& process, const Options& options) {
  VHSM_TRY(adopt_allocator());
  if (!process.mapped) VHSM_TRY(map_once(process, options));
  process.mapped = true;
  process.wide_registers = wide_registers();
  VHSM_TRY(install_fork_handlers());
  prepare_generators();
  process.ready.store(true, std::memory_order_release);
  const Status started = run_protected([] { return start_generators(); });
  if (!started.ok()) process.ready.store(false, std::memory_order_release);
  return started;
}

// ----- scope ----------------------------------------------------------------------------------

struct Entry {
  void (*body)(void*) noexcept;
  void* argument;
  Slot* slot;
  Status status;
};

/// First on the protected stack: a child renews its random generators before it does anything.
void enter_scope(void* raw) {
  auto& entry = *static_cast<Entry*>(raw);
  sanitizer::arrived();
  t_slot = entry.slot;
  if (g_process.reseed.load(std::memory_order_relaxed)) {
    entry.status = reseed_generators();
    if (entry.status.ok()) g_process.reseed.store(false, std::memory_order_relaxed);
  }
  if (entry.status.ok()) entry.body(entry.argument);
  t_slot = nullptr;
  sanitizer::leaving();
}

}  // namespace

constinit Process g_process;
constinit thread_local Slot* t_slot = nullptr;

namespace {

/// Work on a key must not end where its stack grows. With the protection key open.
bool touch_stack(Slot& slot, Kind kind) noexcept {
  const std::span stack(slot.stack_top - slot.stack_bytes, slot.stack_bytes);
  slot.touched = kind != Kind::kSecretMemory || touch(stack) * kPageBytes == stack.size();
  return slot.touched;
}

Status map_stack(Slot& slot, std::byte* top, const Process& process) noexcept {
  const std::span stack(top - kScopeStackBytes, kScopeStackBytes);
  VHSM_TRY(back(stack, process.kind, process.key));
  // A child must not share its parent's stacks: it makes its own.
  ::madvise(stack.data(), stack.size(), MADV_DONTFORK);
  sanitizer::add_stack(stack.data(), top);
  slot.stack_top = top;
  slot.stack_bytes = kScopeStackBytes;
  slot.touched = false;
  return {};
}

Status map_stacks_in(std::span<std::byte> area, std::span<Slot> slots, const Process& process) {
  std::byte* top = area.data();
  for (Slot& slot : slots) VHSM_TRY(map_stack(slot, top += kStackStride, process));
  // The others when they are first needed: a process with one thread pays for one.
  const Access access;
  if (touch_stack(slots.front(), process.kind)) return {};
  return fail(Errc::kMemoryLimit, "protected memory cannot be locked");
}

}  // namespace

Status map_stacks(Process& process, std::span<Slot> slots) noexcept {
  const auto area = VHSM_TRY(reserve(slots.size() * kStackStride));
  Status mapped = map_stacks_in(area, slots, process);
  if (!mapped.ok()) unback(area);
  return mapped;
}

namespace {

/// With memory for its stack, which the first has in any case.
Slot& enter_gate(Process& process) noexcept {
  while (true) {
    Slot& slot = process.gate.enter();
    if (slot.touched || touch_stack(slot, process.kind)) return slot;
    Gate::bar(slot);
  }
}

/// Not memset(): what a jump or a sanitizer has left there is nobody's.
void wipe_stack(Slot& slot) noexcept {
  slot.soiled.store(false, std::memory_order_relaxed);
  slot.used.store(false, std::memory_order_relaxed);
  std::byte* at = slot.stack_top - slot.stack_bytes;
  std::size_t bytes = slot.stack_bytes;
  sanitizer::open_stack(at, bytes);
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(0) : "memory");
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

Status recover_from_jump() noexcept {
  if (t_slot == nullptr || held_slot() != nullptr) return {};
  stack_t alternate{};
  ::sigaltstack(nullptr, &alternate);
  if ((alternate.ss_flags & SS_ONSTACK) != 0) {
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

/// Takes back what idle slots keep at hand, and whole pages of small objects.
void reclaim(Slot& own) noexcept {
  for (Slot& slot : g_process.gate.slots()) {
    if (&slot != &own && !Gate::try_enter(slot)) continue;
    g_process.arena.flush(slot.magazine);
    if (&slot != &own) Gate::leave(slot);
  }
  g_process.arena.compact(own.magazine);
}

}  // namespace

void* allocate_for(Slot& slot, std::size_t size) noexcept {
  void* object = g_process.arena.allocate(slot.magazine, size);
  if (object != nullptr) return object;
  reclaim(slot);
  object = g_process.arena.allocate(slot.magazine, size);
  if (object == nullptr) t_exhausted = true;
  return object;
}

Status initialise(const Options& options) {
  static constinit std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (g_process.ready.load(std::memory_order_acquire)) return {};
  return initialise_once(g_process, options);
}

Kind kind() noexcept {
  return g_process.ready.load(std::memory_order_acquire) ? g_process.kind : Kind::kNone;
}

const char* name_of(Kind kind) noexcept {
  switch (kind) {
    case Kind::kSecretMemory: return "memfd_secret";
    case Kind::kLocked: return "mlock";
    case Kind::kNone: break;
  }
  return "none";
}

std::size_t in_use_bytes() noexcept {
  std::int64_t sum = 0;
  for (const Slot& slot : g_process.gate.slots()) {
    sum += slot.magazine.in_use_bytes.load(std::memory_order_relaxed);
  }
  return static_cast<std::size_t>(std::max<std::int64_t>(sum, 0));
}

std::size_t capacity_bytes() noexcept { return g_process.arena.pages().size(); }
bool contains(const void* pointer) noexcept { return g_process.arena.contains(pointer); }
bool in_scope() noexcept { return held_slot() != nullptr; }

Usage usage() noexcept {
  const LockCounters lock = g_process.arena.lock_counters();
  return {.in_use_bytes = in_use_bytes(),
          .backed_bytes = std::min(g_process.chunks.backed_bytes(), capacity_bytes()),
          .capacity_bytes = capacity_bytes(),
          .has_protection_key = g_process.key.taken(),
          .lock_taken = lock.taken,
          .lock_contended = lock.contended,
          .slot_waits = g_process.gate.waits()};
}

bool usable() noexcept {
  return g_process.ready.load(std::memory_order_acquire) && g_process.flag.raised();
}

void pause_for_fork() noexcept {
  if (Slot* const slot = held_slot(); slot != nullptr) g_process.gate.pause(*slot);
}

std::uint64_t generation() noexcept { return g_process.generation.load(std::memory_order_relaxed); }

void* allocate(std::size_t size) noexcept {
  if (!usable()) return nullptr;
  if (Slot* const slot = held_slot(); slot != nullptr) return allocate_for(*slot, size);
  Inside inside;
  return allocate_for(inside.slot(), size);
}

void release(void* pointer) noexcept {
  if (pointer == nullptr || !usable()) return;
  if (Slot* const slot = held_slot(); slot != nullptr) {
    return g_process.arena.release(slot->magazine, pointer);
  }
  Inside inside;
  g_process.arena.release(inside.slot().magazine, pointer);
}

namespace {

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
