// SPDX-License-Identifier: Apache-2.0
//
// What the checkers have to be told about our stacks and roots; nothing in ordinary builds.
// Sources: <sanitizer/common_interface_defs.h>, <sanitizer/lsan_interface.h>,
// <valgrind/memcheck.h>.
#pragma once

#include <pthread.h>

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

/// A stack that no one is on may be written to, also where frames were that somebody jumped out of.
inline void open_stack([[maybe_unused]] std::byte* bottom,
                       [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(VHSM_ASAN)
  __asan_unpoison_memory_region(bottom, bytes);
#endif
#if defined(VALGRIND_MAKE_MEM_UNDEFINED)
  static_cast<void>(VALGRIND_MAKE_MEM_UNDEFINED(bottom, bytes));
#endif
}

#if defined(VHSM_ASAN)
inline thread_local void* t_outer_stack = nullptr;
inline thread_local const void* t_outer_bottom = nullptr;
inline thread_local std::size_t t_outer_size = 0;

/// The calling thread's own.
inline std::span<std::byte> own_stack() noexcept {
  thread_local const std::span<std::byte> stack = [] {
    pthread_attr_t attributes;
    void* bottom = nullptr;
    std::size_t size = 0;
    ::pthread_getattr_np(::pthread_self(), &attributes);
    ::pthread_attr_getstack(&attributes, &bottom, &size);
    ::pthread_attr_destroy(&attributes);
    return std::span(static_cast<std::byte*>(bottom), size);
  }();
  return stack;
}

/// To the leak checker a thread has one stack, the one that it is on: what the frames of its own
/// stack point to would be lost to a check that another thread makes meanwhile. It is a root before
/// the thread leaves it, since to make it one waits for such a check.
inline void departing(const Slot& slot) noexcept {
  add_root(own_stack());
  __sanitizer_start_switch_fiber(&t_outer_stack, slot.stack_top - slot.stack_bytes,
                                 slot.stack_bytes);
}
inline void arrived() noexcept {
  __sanitizer_finish_switch_fiber(nullptr, &t_outer_bottom, &t_outer_size);
}
inline void leaving() noexcept {
  __sanitizer_start_switch_fiber(nullptr, t_outer_bottom, t_outer_size);
}
inline void returned() noexcept {
  __sanitizer_finish_switch_fiber(t_outer_stack, nullptr, nullptr);
  __lsan_unregister_root_region(own_stack().data(), own_stack().size());
}
#else
inline void departing(const Slot& /*slot*/) noexcept {}
inline void arrived() noexcept {}
inline void leaving() noexcept {}
inline void returned() noexcept {}
#endif

}  // namespace sanitizer
}  // namespace vhsm::memory
