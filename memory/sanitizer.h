// SPDX-License-Identifier: Apache-2.0
//
// What the checkers have to be told about our stacks and roots; nothing in ordinary builds.
// Sources: <sanitizer/common_interface_defs.h>, <sanitizer/lsan_interface.h>,
// <valgrind/memcheck.h>.
#pragma once

#include <cstddef>
#include <span>

#include "memory/gate.h"
#include "memory/protected_memory.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VHSM_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define VHSM_ASAN 1
#endif
#if defined(VHSM_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif

namespace vhsm::memory {

#if defined(VHSM_ASAN)
inline constexpr std::size_t kScopeStackBytes = 8 * kStackBytes;  // redzones need the room
#else
inline constexpr std::size_t kScopeStackBytes = kStackBytes;
#endif

namespace sanitizer {

/// Leak checkers look for pointers here too.
inline void add_root([[maybe_unused]] std::span<std::byte> range) noexcept {
#if defined(VHSM_ASAN)
  __lsan_register_root_region(range.data(), range.size());
#endif
}

inline void add_stack([[maybe_unused]] std::byte* bottom,
                      [[maybe_unused]] std::byte* top) noexcept {
#if defined(VALGRIND_STACK_REGISTER)
  static_cast<void>(VALGRIND_STACK_REGISTER(bottom, top));
#endif
}

/// A stack that no one is on may be written to.
inline void open_stack([[maybe_unused]] std::byte* bottom,
                       [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(VALGRIND_MAKE_MEM_UNDEFINED)
  static_cast<void>(VALGRIND_MAKE_MEM_UNDEFINED(bottom, bytes));
#endif
}

#if defined(VHSM_ASAN)
inline thread_local void* t_outer_stack = nullptr;
inline thread_local const void* t_outer_bottom = nullptr;
inline thread_local std::size_t t_outer_size = 0;

inline void departing(const Slot& slot) noexcept {
  __sanitizer_start_switch_fiber(&t_outer_stack, slot.stack_top - slot.stack_bytes,
                                 slot.stack_bytes);
}
/// To the leak checker a thread has one stack, the one that it is on: what the frames of its own
/// stack point to would be lost to a check that another thread makes meanwhile.
inline void arrived() noexcept {
  __sanitizer_finish_switch_fiber(nullptr, &t_outer_bottom, &t_outer_size);
  __lsan_register_root_region(t_outer_bottom, t_outer_size);
}
inline void leaving() noexcept {
  __lsan_unregister_root_region(t_outer_bottom, t_outer_size);
  __sanitizer_start_switch_fiber(nullptr, t_outer_bottom, t_outer_size);
}
inline void returned() noexcept {
  __sanitizer_finish_switch_fiber(t_outer_stack, nullptr, nullptr);
}
#else
inline void departing(const Slot& /*slot*/) noexcept {}
inline void arrived() noexcept {}
inline void leaving() noexcept {}
inline void returned() noexcept {}
#endif

}  // namespace sanitizer
}  // namespace vhsm::memory
