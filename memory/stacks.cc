// SPDX-License-Identifier: Apache-2.0
//
// The stacks of the slots: mapped, made sure of, wiped.
#include <sys/mman.h>

#include "memory/pages.h"
#include "memory/process.h"
#include "memory/sanitizer.h"

namespace vhsm::memory {
namespace {

constexpr std::size_t kStackStride = kScopeStackBytes + kPageBytes;  // with its guard page

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

bool touch_stack(Slot& slot, Kind kind) noexcept {
  const std::span stack(slot.stack_top - slot.stack_bytes, slot.stack_bytes);
  slot.touched = kind != Kind::kSecretMemory || touch(stack) * kPageBytes == stack.size();
  return slot.touched;
}

Status map_stacks(Process& process, std::span<Slot> slots) noexcept {
  const auto area = VHSM_TRY(reserve(slots.size() * kStackStride));
  Status mapped = map_stacks_in(area, slots, process);
  if (!mapped.ok()) unback(area);
  return mapped;
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

}  // namespace vhsm::memory
