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
  /// Bytes of address space to lock: arena, standby and stacks together. 0 takes three quarters of
  /// the smaller of kDefaultLimitBytes and RLIMIT_MEMLOCK; the rest is the host's.
  std::size_t limit_bytes = 0;
  /// Skips memfd_secret: for tests of the fallback, and for valgrind, which lacks the system call.
  bool force_locked = false;
  /// Closes protected memory outside scopes, where the CPU has protection keys.
  bool protection_key = true;
};

inline constexpr std::size_t kDefaultLimitBytes = std::size_t{8} << 20;
inline constexpr std::size_t kStackBytes = std::size_t{32} << 10;

/// Makes the libcrypto that this code is linked with (the private copy) allocate through us: from
/// the arena inside a scope, from the ordinary heap outside. Starts it, without configuration and
/// without a handler for the process's end. Idempotent, thread-safe.
/// @errors kInternal when that libcrypto was used before; kCrypto when it does not start.
Status adopt_allocator();

/// Maps protected memory and starts a FIPS provider's random generators in it. Calls
/// adopt_allocator(). The first success in a process is final: later calls return at once.
/// The environment variable VHSM_MEMORY=locked has the effect of `force_locked`.
/// @errors kMemoryLimit when the limit or RLIMIT_MEMLOCK leave no room; kInternal as
///         adopt_allocator(); kCrypto when there are no random numbers. Thread-safe.
Status initialise(const Options& options);

[[nodiscard]] Kind kind() noexcept;

/// "memfd_secret", "mlock" or "none".
[[nodiscard]] const char* name_of(Kind kind) noexcept;

/// Bytes of the arena that live objects occupy, rounded up to their size classes. Thread-safe.
[[nodiscard]] std::size_t in_use_bytes() noexcept;

/// The size that the arena can have.
[[nodiscard]] std::size_t capacity_bytes() noexcept;

struct Usage {
  std::size_t in_use_bytes = 0;
  std::size_t backed_bytes = 0;  ///< grows up to capacity_bytes
  std::size_t capacity_bytes = 0;
  bool has_protection_key = false;  ///< closed outside scopes
  std::uint64_t lock_taken = 0;     ///< the allocator's one lock, since the start
  std::uint64_t lock_contended = 0;
  std::uint64_t slot_waits = 0;  ///< threads that found more of them inside than there are stacks
};

/// Consistent enough for a report. Thread-safe.
[[nodiscard]] Usage usage() noexcept;

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

/// Wipes what work on keys has left on the protected stacks, of each as soon as no one works on it:
/// for when a key is gone, or did not come. Thread-safe.
void wipe_stacks() noexcept;

/// Opens protected memory to the calling thread while it lives, where a protection key closes it:
/// whatever uses the private OpenSSL or moves secret bytes outside a scope has one. So each call
/// that enters the module from its host makes one, and the host's own code runs without. Threads
/// that start meanwhile have it for good. Nests.
class Access {
 public:
  Access() noexcept;
  ~Access();
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;

 private:
  std::uint32_t old_rights_;
};

/// Lets a fork of another thread pass, where the calling thread is in a scope and its work on the
/// arena can be interrupted: for key generation, between two candidates. Cheap when no one forks.
void pause_for_fork() noexcept;

/// Which process this is in a line of forks: 0, and one more in each child. What was begun under
/// another number (a lock, a wait, a connection) belongs to an ancestor's thread.
[[nodiscard]] std::uint64_t generation() noexcept;

namespace detail {
/// Whether an allocation of the calling thread found the arena full since its scope began.
[[nodiscard]] bool ran_out() noexcept;

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
    std::remove_reference_t<Body>* body;
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
  // libcrypto says "malloc failure" where we know better.
  if (!call.answer->ok() && call.answer->error().code == Errc::kCrypto && detail::ran_out()) {
    return fail(Errc::kMemoryLimit, "no protected memory left for work on a key",
                call.answer->error().subject);
  }
  return std::move(*call.answer);
}

}  // namespace vhsm::memory
