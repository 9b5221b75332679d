// SPDX-License-Identifier: Apache-2.0
//
// fork(): secret memory is shared by parent and child, so the child gets a copy of its own, taken
// while no thread works in it, at the same addresses. Everything here runs in atfork handlers.
// Sources: pthread_atfork(3), mremap(2).
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>

#include "memory/pages.h"
#include "memory/process.h"

namespace vhsm::memory {
namespace {

constexpr std::chrono::milliseconds kPatience{100};
constexpr std::size_t kReadyPages = 64;  // kept pre-faulted beyond what is in use now

constinit std::mutex g_forking;   // two threads may fork at once
constinit bool g_copied = false;  // by prepare(), for the child

void unback(std::span<std::byte> range) noexcept {
  ::mmap(range.data(), range.size(), PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

/// Copies what is in use to the standby area.
bool copy_arena(Process& process) noexcept {
  if (process.kind == Kind::kLocked) return true;  // private pages: the kernel copies them
  if (!process.standby_backed) prepare_standby(process);
  if (!process.standby_backed) return false;
  const auto used = process.arena.used_pages();
  std::memcpy(process.standby.data(), used.data(), used.size());
  return true;
}

void before_fork() {
  Process& process = memory::process();
  g_forking.lock();
  // A fork inside a scope cannot wait for itself to leave it.
  g_copied = usable() && !in_scope() && process.gate.close(kPatience) && copy_arena(process);
}

void in_parent() {
  Process& process = memory::process();
  // The child owns the standby pages now; the copy for the next child goes to fresh ones.
  if (process.kind == Kind::kSecretMemory && g_copied) {
    process.standby_backed = false;
    prepare_standby(process);
  }
  process.gate.open();
  g_forking.unlock();
}

/// Puts the copy where the pointers point to, and locks what is not locked any more.
bool take_over(Process& process) noexcept {
  if (process.kind == Kind::kLocked) return lock(process.arena.pages()).ok();
  const auto pages = process.arena.pages();
  void* moved = ::mremap(process.standby.data(), pages.size(), pages.size(),
                         MREMAP_MAYMOVE | MREMAP_FIXED, pages.data());
  if (moved == MAP_FAILED) return false;
  unback(process.standby);
  process.standby_backed = false;
  ::madvise(pages.data(), pages.size(), MADV_DONTDUMP);
  return true;
}

void in_child() {
  Process& process = memory::process();
  process.generation.fetch_add(1, std::memory_order_relaxed);
  // Without a copy the flag page stays wiped: this child uses no key and frees none.
  if (g_copied && take_over(process) && back_stacks(process).ok()) {
    process.reseed.store(true, std::memory_order_relaxed);
    process.flag.raise();
  }
  process.gate.open_in_child();
  g_forking.unlock();
}

}  // namespace

void prepare_standby(Process& process) noexcept {
  if (process.kind != Kind::kSecretMemory) return;
  if (!process.standby_backed) {
    unback(process.standby);
    process.standby_backed = back(process.standby, process.kind).ok();
  }
  if (!process.standby_backed) return;
  const std::size_t wanted = process.arena.used_pages().size() + kReadyPages * kPageBytes;
  for (std::size_t at = 0; at < std::min(wanted, process.standby.size()); at += kPageBytes) {
    *static_cast<volatile std::byte*>(process.standby.data() + at) = std::byte{0};
  }
}

Status install_fork_handlers() {
  if (::pthread_atfork(before_fork, in_parent, in_child) == 0) return {};
  return fail(Errc::kInternal, "no fork handlers");
}

}  // namespace vhsm::memory
