// SPDX-License-Identifier: Apache-2.0
//
// Ties the libcrypto that we are linked with to protected memory: its allocator, its random
// numbers and its threads' ends.
// Sources: CRYPTO_set_mem_functions(3), RAND_set_rand_method(3), getrandom(2),
// OPENSSL_thread_stop(3). RAND_METHOD is deprecated, and the one way to stand between all of
// OpenSSL and its generators.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <malloc.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <span>

#include "memory/process.h"

namespace vhsm::memory {
namespace {

void* route_malloc(std::size_t size, const char* /*file*/, int /*line*/) {
  if (size == 0) return nullptr;
  // Who is in a scope has been let in: no need to ask again.
  Slot* const slot = held_slot();
  return slot == nullptr ? std::malloc(size) : allocate_for(*slot, size);
}

void route_free(void* pointer, const char* /*file*/, int /*line*/) {
  if (!g_process.arena.contains(pointer)) return std::free(pointer);
  if (Slot* const slot = held_slot(); slot != nullptr) {
    return g_process.arena.release(slot->magazine, pointer);
  }
  release(pointer);
}

/// A heap block that grows inside a scope moves into the arena, since from then on it may hold
/// secrets.
void* move_in(void* old, std::size_t size, Slot& slot) {
  const std::size_t old_bytes = ::malloc_usable_size(old);
  void* moved = allocate_for(slot, size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, old, std::min(old_bytes, size));
  OPENSSL_cleanse(old, old_bytes);
  std::free(old);
  return moved;
}

/// A block stays in the arena once it is there.
void* resize_inside(void* old, std::size_t size, Slot& slot) {
  const std::size_t old_bytes = g_process.arena.usable_bytes(old);
  if (size <= old_bytes) return old;
  void* moved = allocate_for(slot, size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, old, old_bytes);
  g_process.arena.release(slot.magazine, old);
  return moved;
}

void* route_realloc(void* old, std::size_t size, const char* file, int line) {
  if (old == nullptr) return route_malloc(size, file, line);
  if (size == 0) {
    route_free(old, file, line);
    return nullptr;
  }
  Slot* const slot = held_slot();
  if (!contains(old)) return slot == nullptr ? std::realloc(old, size) : move_in(old, size, *slot);
  if (slot != nullptr) return resize_inside(old, size, *slot);
  if (!usable()) return nullptr;
  Inside inside;
  return resize_inside(old, size, inside.slot());
}

// ----- random numbers -------------------------------------------------------------------------

/// Straight from the kernel: no state in this process tells the nonces of signatures to come, and
/// none goes to a child. By the system call, since glibc's function is a cancellation point.
Status draw_from_kernel(std::span<std::uint8_t> out) noexcept {
  while (!out.empty()) {
    const long got = ::syscall(SYS_getrandom, out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(Errc::kCrypto, "the kernel gives no random numbers", "getrandom");
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

/// A FIPS provider's generators lie where they are first drawn from: in a scope.
Status draw_from_provider(std::span<std::uint8_t> out) {
  return run_protected([&] { return g_process.generators.draw(out); });
}

int draw(unsigned char* out, int bytes) {
  const std::span<std::uint8_t> wanted(out, static_cast<std::size_t>(bytes));
  const bool from_provider = g_process.generators.draw != nullptr;
  return (from_provider ? draw_from_provider(wanted) : draw_from_kernel(wanted)).ok() ? 1 : 0;
}

int can_draw() { return 1; }

constexpr RAND_METHOD kRandomNumbers{nullptr, draw, nullptr, nullptr, draw, can_draw};

// ----- thread exit ----------------------------------------------------------------------------

constinit pthread_key_t g_exit_key{};
thread_local bool t_registered = false;

/// What the private OpenSSL keeps for a thread, a FIPS provider's generators above all, lies in the
/// arena. Its own destructor then finds nothing more to do.
void on_thread_exit(void* /*registered*/) {
  if (!usable()) return g_process.chunks.unmap();
  static_cast<void>(run_protected([]() -> Status {
    OPENSSL_thread_stop();
    return {};
  }));
  t_registered = false;  // not before: entering the scope would register the thread again
}

/// Keys are destroyed in the order of their making: before libcrypto makes its own.
Status install_thread_exit() {
  static constinit bool installed = false;
  if (installed) return {};
  if (::pthread_key_create(&g_exit_key, on_thread_exit) != 0) {
    return fail(Errc::kInternal, "the process has no thread-specific key left");
  }
  installed = true;
  return {};
}

}  // namespace

Status adopt_allocator() {
  static constinit std::mutex mutex;
  static constinit bool adopted = false;
  const std::lock_guard lock(mutex);
  if (adopted) return {};
  VHSM_TRY(install_thread_exit());
  if (CRYPTO_set_mem_functions(route_malloc, route_realloc, route_free) != 1) {
    return fail(Errc::kInternal, "libcrypto was used before its allocator was set");
  }
  adopted = true;
  // First of all: whatever starts it otherwise has it clean up when the host exits, after our
  // teardown.
  VHSM_TRY(
      crypto(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr),
             "the private OpenSSL does not start"));
  return crypto(RAND_set_rand_method(&kRandomNumbers), "the random numbers are not ours");
}

void register_thread() noexcept {
  if (t_registered) return;
  t_registered = ::pthread_setspecific(g_exit_key, &g_process) == 0;
  // What libcrypto keeps for each thread, errors and a place in its list of threads, has to lie in
  // the ordinary heap: it is used outside scopes, under a lock, and in children that have no arena.
  if (held_slot() == nullptr) ERR_clear_error();
  // A thread whose generators are not made has errors to come, and none that anybody could see now.
  if (g_process.generators.start != nullptr) {
    static_cast<void>(run_protected([] { return g_process.generators.start(); }));
  }
}

void use_generators(const Generators& generators) noexcept { g_process.generators = generators; }

Status start_generators() {
  if (g_process.generators.start != nullptr) return g_process.generators.start();
  std::array<std::uint8_t, 1> byte{};
  return draw_from_kernel(byte);
}

}  // namespace vhsm::memory
