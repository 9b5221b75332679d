// SPDX-License-Identifier: Apache-2.0
#include "memory/protected_memory.h"

#include <algorithm>

#include "memory/process.h"

namespace vhsm::memory {

constinit Process g_process;

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

}  // namespace vhsm::memory
