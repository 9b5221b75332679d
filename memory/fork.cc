// SPDX-License-Identifier: Apache-2.0
//
// fork(): secret memory is shared by parent and child, so the child gets a copy of its own, taken
// while no thread works in it, at the same addresses. Everything here runs in atfork handlers.
// Sources: pthread_atfork(3).
#include <pthread.h>

#include <chrono>
#include <mutex>

#include "memory/process.h"

namespace vhsm::memory {
namespace {

constexpr std::chrono::milliseconds kPatience{100};

constinit std::mutex g_forking;   // two threads may fork at once
constinit bool g_copied = false;  // by prepare(), for the child

bool copy_for_child(Process& process) noexcept {
  // A fork inside a scope cannot wait for itself to leave it.
  return usable() && recover_from_jump().ok() && !in_scope() && process.gate.close(kPatience) &&
         process.chunks.copy_to_standby(process.arena.used_pages());
}

void before_fork() {
  g_forking.lock();
  g_copied = copy_for_child(memory::process());
}

void in_parent() {
  Process& process = memory::process();
  // The copy for the next child goes to fresh pages.
  if (g_copied) {
    process.chunks.give_standby_away();
    process.chunks.prepare_standby();
  }
  process.gate.open();
  g_forking.unlock();
}

void in_child() {
  Process& process = memory::process();
  process.generation.fetch_add(1, std::memory_order_relaxed);
  // Without a copy the flag page stays wiped: this child uses no key and frees none.
  if (g_copied && process.chunks.take_over() && back_stacks(process).ok()) {
    process.reseed.store(true, std::memory_order_relaxed);
    process.flag.raise();
  }
  process.gate.open_in_child();
  g_forking.unlock();
}

}  // namespace

Status install_fork_handlers() {
  if (::pthread_atfork(before_fork, in_parent, in_child) == 0) return {};
  return fail(Errc::kInternal, "no fork handlers");
}

}  // namespace vhsm::memory
