// SPDX-License-Identifier: Apache-2.0
//
// Ties the libcrypto that we are linked with to protected memory: its allocator and its random
// generators. Sources: CRYPTO_set_mem_functions(3), EVP_RAND(3).
#include <malloc.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "memory/process.h"

namespace vhsm::memory {
namespace {

void* route_malloc(std::size_t size, const char* /*file*/, int /*line*/) {
  if (size == 0) return nullptr;
  Slot* slot = t_slot;
  if (slot == nullptr) return std::malloc(size);
  // Who is in a scope has been let in: no need to ask again.
  void* object = g_process.arena.allocate(slot->magazine, size);
  if (object == nullptr) note_exhaustion();
  return object;
}

void route_free(void* pointer, const char* /*file*/, int /*line*/) {
  if (!g_process.arena.contains(pointer)) return std::free(pointer);
  if (t_slot != nullptr) return g_process.arena.release(t_slot->magazine, pointer);
  release(pointer);
}

/// A block stays in the arena once it is there; a heap block that grows inside a scope moves in,
/// since from then on it may hold secrets.
void* move_to_arena(void* old, std::size_t old_bytes, std::size_t size) {
  void* moved = allocate(size);
  if (moved == nullptr) return nullptr;
  const std::size_t kept = std::min(old_bytes, size);
  std::memcpy(moved, old, kept);
  return moved;
}

void* route_realloc(void* old, std::size_t size, const char* file, int line) {
  if (old == nullptr) return route_malloc(size, file, line);
  if (size == 0) {
    route_free(old, file, line);
    return nullptr;
  }
  const bool inside = contains(old);
  if (!inside && !in_scope()) return std::realloc(old, size);
  const std::size_t old_bytes =
      inside ? process().arena.usable_bytes(old) : ::malloc_usable_size(old);
  if (inside && size <= old_bytes) return old;
  void* moved = move_to_arena(old, old_bytes, size);
  if (moved == nullptr) return nullptr;
  if (!inside) OPENSSL_cleanse(old, old_bytes);
  route_free(old, file, line);
  return moved;
}

/// Each of the generators that OpenSSL chains: seeding the primary makes the others follow at their
/// next use (they compare its reseed counter).
Status reseed(EVP_RAND_CTX* generator) {
  return crypto(EVP_RAND_reseed(generator, 0, nullptr, 0, nullptr, 0),
                "the random generator does not reseed");
}

}  // namespace

Status adopt_allocator() {
  static constinit std::mutex mutex;
  static constinit bool adopted = false;
  const std::lock_guard lock(mutex);
  if (adopted) return {};
  if (CRYPTO_set_mem_functions(route_malloc, route_realloc, route_free) != 1) {
    return fail(Errc::kInternal, "libcrypto was used before its allocator was set");
  }
  adopted = true;
  return {};
}

Status start_generators() {
  VHSM_TRY(
      crypto(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr),
             "the private OpenSSL does not start"));
  std::array<unsigned char, 1> byte{};
  VHSM_TRY(crypto(RAND_bytes(byte.data(), 1), "no random generator"));
  return crypto(RAND_priv_bytes(byte.data(), 1), "no private random generator");
}

Status reseed_generators() { return reseed(RAND_get0_primary(nullptr)); }

}  // namespace vhsm::memory
