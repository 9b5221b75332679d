// SPDX-License-Identifier: Apache-2.0
//
// How much protected memory there is, of which kind, and where.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "memory/pages.h"
#include "memory/process.h"
#include "memory/protected_memory.h"
#include "memory/sanitizer.h"

namespace vhsm::memory {
namespace {

constexpr std::size_t kSmallestArenaBytes = std::size_t{256} << 10;

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
  process.ready.store(true, std::memory_order_release);
  const Status started = run_protected([] { return start_generators(); });
  if (!started.ok()) process.ready.store(false, std::memory_order_release);
  return started;
}

}  // namespace

Status initialise(const Options& options) {
  static constinit std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (g_process.ready.load(std::memory_order_acquire)) return {};
  return initialise_once(g_process, options);
}

}  // namespace vhsm::memory
