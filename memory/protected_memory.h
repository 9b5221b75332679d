// SPDX-License-Identifier: Apache-2.0
//
// Protected memory: the arena that holds every secret byte, and the scope in which a thread works
// on one. Per process; it has no destructor and outlives every provider instance.
//
// Sources: memfd_secret(2), madvise(2), mlock(2); docs/architecture.md, "Protected memory".
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/result.h"

namespace vhsm::memory {

/// What backs the arena.
enum class Kind : std::uint8_t {
  kNone,          ///< initialise() has not succeeded
  kSecretMemory,  ///< memfd_secret: not in the kernel's direct map, no ptrace, no core, no swap
  kLocked,        ///< mmap + mlock + MADV_DONTDUMP: the fallback, reported and never silent
};

struct Options {
  /// Bytes of address space to lock: arena, standby and stacks together. 0 takes the smaller of
  /// kDefaultLimitBytes and RLIMIT_MEMLOCK.
  std::size_t limit_bytes = 0;
  /// Skips memfd_secret: for tests of the fallback, and for valgrind, which lacks the system call.
  bool force_locked = false;
};

inline constexpr std::size_t kDefaultLimitBytes = std::size_t{8} << 20;
inline constexpr std::size_t kStackBytes = std::size_t{32} << 10;

/// Maps protected memory, routes the private OpenSSL's allocator through it, and warms that OpenSSL
/// up. The first call in a process does the work, the later ones return its result. Must precede
/// every other use of the libcrypto that this code is linked with.
/// The environment variable VHSM_MEMORY=locked has the effect of `force_locked`.
/// @errors kMemoryLimit when RLIMIT_MEMLOCK leaves no room; kInternal when that libcrypto was used
///         before; kCrypto when it does not start. Thread-safe.
Status initialise(const Options& options);

[[nodiscard]] Kind kind() noexcept;

/// Bytes of the arena that live objects occupy, rounded up to their size classes. Thread-safe.
[[nodiscard]] std::size_t in_use_bytes() noexcept;

/// The arena's size.
[[nodiscard]] std::size_t capacity_bytes() noexcept;

/// Whether `pointer` points into the arena.
[[nodiscard]] bool contains(const void* pointer) noexcept;

/// Whether the calling thread is in a scope.
[[nodiscard]] bool in_scope() noexcept;

/// False in a process that was made by a raw clone, or forked while another thread stayed in a
/// scope for more than 100 ms: its view of the arena belongs to the parent and must not be touched.
[[nodiscard]] bool usable() noexcept;

/// `size` bytes (at least 1) of the arena, 16-byte aligned, contents zero; null when the arena is
/// full or not usable. Thread-safe.
[[nodiscard]] void* allocate(std::size_t size) noexcept;

/// Wipes and frees what allocate() gave; null is fine. Does nothing when not usable(). Thread-safe.
void release(void* pointer) noexcept;

namespace detail {
/// Runs `body(argument)` on a protected stack, with asynchronous signals blocked and the private
/// OpenSSL allocating from the arena. Nested calls run `body` at once.
/// @errors kForked, kWrongState before initialise().
Status run(void (*body)(void*) noexcept, void* argument) noexcept;
}  // namespace detail

/// Runs `body` in a ProtectedScope: every piece of work on a key happens inside one. `body` returns
/// a Result and must do nothing slow: no I/O, no device, no callback (it would block fork()).
/// Exceptions (bad_alloc) become kOutOfMemory. Thread-safe, nests.
/// @errors kForked; whatever `body` returns.
template <std::invocable Body>
std::invoke_result_t<Body> run_protected(Body&& body) noexcept {
  using Answer = std::invoke_result_t<Body>;
  struct Call {
    Body* body;
    std::optional<Answer> answer;
  } call{&body, std::nullopt};
  const Status entered = detail::run(
      [](void* raw) noexcept {
        auto& inner = *static_cast<Call*>(raw);
        try {
          inner.answer.emplace(std::invoke(*inner.body));
        } catch (...) {
          inner.answer.emplace(fail(Errc::kOutOfMemory, "no memory for work on a key"));
        }
      },
      &call);
  if (!entered.ok()) return entered.error();
  return std::move(*call.answer);
}

}  // namespace vhsm::memory
