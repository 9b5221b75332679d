// SPDX-License-Identifier: Apache-2.0
//
// Sets libcrypto's allocator before any shared library's constructor runs. Debian's cpp-httplib
// calls OPENSSL_init_ssl() from one, after which CRYPTO_set_mem_functions() refuses.
// Source: ELF gABI, DT_PREINIT_ARRAY; CRYPTO_set_mem_functions(3).
#include "memory/protected_memory.h"

namespace {

// Too early to report: memory::initialise() in main() asks again and has the answer.
void adopt() { static_cast<void>(vhsm::memory::adopt_allocator()); }

[[gnu::used, gnu::section(".preinit_array")]] void (*const kAdopt)() = adopt;

}  // namespace
