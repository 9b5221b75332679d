// SPDX-License-Identifier: Apache-2.0
//
// What debug and asan builds check of every object of the arena: a canary behind it, which tells an
// overflow, a second free and a pointer that never was one; and for AddressSanitizer, which bytes
// are nobody's. Release builds have none of it: kCanaryBytes is 0 and the functions are empty.
// Source: <sanitizer/asan_interface.h>.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "memory/sanitizer.h"

namespace vhsm::memory::checks {

#if defined(VHSM_ASAN) || !defined(NDEBUG)
inline constexpr bool kChecked = true;
#else
inline constexpr bool kChecked = false;
#endif

inline constexpr std::size_t kCanaryBytes = kChecked ? 16 : 0;

#if defined(VHSM_ASAN)
#define VHSM_UNCHECKED_ACCESS __attribute__((no_sanitize("address")))
#else
#define VHSM_UNCHECKED_ACCESS
#endif

/// The first words of free objects link them, poisoned or not.
VHSM_UNCHECKED_ACCESS inline void* link_of(void* object) noexcept {
  return *static_cast<void* volatile*>(object);
}
VHSM_UNCHECKED_ACCESS inline void set_link(void* object, void* next) noexcept {
  *static_cast<void* volatile*>(object) = next;
}

/// Differs from object to object, and is never zero: what is free is zero.
inline std::uint64_t canary_of(const void* object) noexcept {
  return reinterpret_cast<std::uintptr_t>(object) ^ 0x9E3779B97F4A7C15U;
}

/// @param bytes  of the whole object, its canary included.
VHSM_UNCHECKED_ACCESS inline void place_canary(void* object, std::size_t bytes) noexcept {
  if constexpr (!kChecked) return;
  auto* end = reinterpret_cast<volatile std::uint64_t*>(static_cast<std::byte*>(object) + bytes);
  end[-1] = canary_of(object);
  end[-2] = canary_of(object);
}

VHSM_UNCHECKED_ACCESS inline void check_canary(void* object, std::size_t bytes) noexcept {
  if constexpr (!kChecked) return;
  const auto* end =
      reinterpret_cast<const volatile std::uint64_t*>(static_cast<std::byte*>(object) + bytes);
  if (end[-1] == canary_of(object) && end[-2] == canary_of(object)) return;
  std::fputs("vhsm: an object of protected memory was freed twice or written past its end\n",
             stderr);
  std::abort();
}

inline void poison([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(VHSM_ASAN)
  __asan_poison_memory_region(begin, bytes);
#endif
}

inline void unpoison([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(VHSM_ASAN)
  __asan_unpoison_memory_region(begin, bytes);
#endif
}

}  // namespace vhsm::memory::checks
