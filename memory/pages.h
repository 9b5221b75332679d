// SPDX-License-Identifier: Apache-2.0
//
// Pages that the hypervisor's tools, swap and core dumps do not see.
// Sources: memfd_secret(2), mlock2(2), madvise(2).
#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "memory/protected_memory.h"
#include "memory/protection_key.h"

namespace vhsm::memory {

inline constexpr std::size_t kPageBytes = 4096;

/// Reserves `bytes` (a multiple of kPageBytes) of address space with an inaccessible page on either
/// side. Lives as long as the process.
/// @errors kMemoryLimit.
Result<std::span<std::byte>> reserve(std::size_t bytes);

/// Backs `range` of reserve() with fresh zero pages of `kind` under `key`, replacing what was
/// there. The pages count against RLIMIT_MEMLOCK from now on, but are first touched when used.
/// Async-signal-safe. @errors kMemoryLimit (also: kind kSecretMemory is not to be had here).
Status back(std::span<std::byte> range, Kind kind, const ProtectionKey& key) noexcept;

/// Touches each page of `range`, which is fresh and open to the calling thread, and leaves it zero.
/// A page of secret memory may count against RLIMIT_MEMLOCK, for all processes of the user
/// together, only when it is first touched, and the one too many is a SIGBUS: kernels with
/// "secretmem: properly account locked pages" (Debian's 6.1.192 and 6.12.113). Here it is an
/// answer. Async-signal-safe. @return how many pages can be used.
std::size_t touch(std::span<std::byte> range) noexcept;

/// Makes `range` inaccessible address space again. Async-signal-safe.
void unback(std::span<std::byte> range) noexcept;

/// Locks `range` again: a child does not inherit locks (kLocked only). Async-signal-safe.
Status lock(std::span<std::byte> range) noexcept;

/// Whether this kernel gives secret memory to this process.
[[nodiscard]] bool secret_memory_available() noexcept;

}  // namespace vhsm::memory
