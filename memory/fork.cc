// SPDX-License-Identifier: Apache-2.0
//
// fork(): secret memory is shared by parent and child, so the child gets a copy of its own, taken
// while no thread works in it, at the same addresses. Everything here runs in atfork handlers.
// Sources: pthread_atfork(3).
#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <mutex>

#include "memory/process.h"

namespace vhsm::memory {
namespace {

constexpr std::chrono::milliseconds kPatience{1000};

constinit std::mutex g_forking;   // two threads may fork at once
constinit bool g_quiet = false;   // no one was inside
constinit bool g_copied = false;  // so there is a copy for the child

/// Puts the copy where the pointers point to.
bool take_over(Process& process) noexcept {
  if (!process.chunks.take_over()) return false;
  process.arena.limit_to(process.chunks.usable_pages());
  process.kind = process.chunks.kind();
  if (map_stacks(process, process.gate.slots()).ok()) return true;
  // The copy took the last of the secret memory that this user may have.
  process.kind = Kind::kLocked;
  return map_stacks(process, process.gate.slots()).ok();
}

bool keep_everyone_out(Process& process) noexcept {
  // A fork inside a scope cannot wait for itself to leave it.
  return usable() && recover_from_jump().ok() && !in_scope() && process.gate.close(kPatience);
}

/// Whether the generators would take this child for an ancestor and give it the same numbers.
bool is_taken_for_another(const Process& process) noexcept {
  return process.generators.draw != nullptr && process.ancestors.may_include(::getpid());
}

void before_fork() {
  g_forking.lock();
  Gate::set_forking(true);
  Process& process = memory::process();
  process.ancestors.add(::getpid());
  g_quiet = keep_everyone_out(process);
  g_copied = g_quiet && process.chunks.copy_to_standby(process.arena.used_pages());
}

void in_parent() {
  Process& process = memory::process();
  // The copy for the next child goes to fresh pages.
  if (g_copied) {
    process.chunks.give_standby_away();
    static_cast<void>(process.chunks.prepare_standby(process.arena.used_pages()));  // or next time
  }
  process.gate.open();
  Gate::set_forking(false);
  g_forking.unlock();
}

void in_child() {
  Process& process = memory::process();
  process.generation.fetch_add(1, std::memory_order_relaxed);
  const bool same_id = is_taken_for_another(process);
  process.same_id.store(same_id, std::memory_order_relaxed);
  // Without a copy the flag page stays wiped: this child uses no key and frees none.
  const bool whole = g_copied && !process.gate.warned() && !same_id;
  if (whole && take_over(process)) {
    process.stale.store(process.generators.start != nullptr, std::memory_order_relaxed);
    process.flag.raise();
  } else {
    process.no_room.store(g_quiet && !process.gate.warned(), std::memory_order_relaxed);
    process.chunks.unmap();
  }
  process.gate.open_in_child();
  Gate::set_forking(false);
  g_forking.unlock();
}

}  // namespace

Status install_fork_handlers() {
  static constinit bool installed = false;
  if (!installed && ::pthread_atfork(before_fork, in_parent, in_child) != 0) {
    return fail(Errc::kInternal, "no fork handlers");
  }
  installed = true;
  return {};
}

}  // namespace vhsm::memory
