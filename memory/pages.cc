// SPDX-License-Identifier: Apache-2.0
#include "memory/pages.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <span>

namespace vhsm::memory {
namespace {

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447  // glibc before 2.36 lacks the name
#endif

constexpr unsigned kCloseOnExec = 02000000;  // O_CLOEXEC: memfd_secret's only flag

/// One descriptor for each range: a memfd_secret takes its size once.
bool map_secret(std::span<std::byte> range) noexcept {
  const int descriptor = static_cast<int>(::syscall(SYS_memfd_secret, kCloseOnExec));
  if (descriptor < 0) return false;
  const bool mapped = ::ftruncate(descriptor, static_cast<off_t>(range.size())) == 0 &&
                      ::mmap(range.data(), range.size(), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_FIXED, descriptor, 0) != MAP_FAILED;
  ::close(descriptor);
  return mapped;
}

bool map_locked(std::span<std::byte> range) noexcept {
  return ::mmap(range.data(), range.size(), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED &&
         lock(range).ok();
}

}  // namespace

Result<std::span<std::byte>> reserve(std::size_t bytes) {
  void* base = ::mmap(nullptr, bytes + 2 * kPageBytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return fail(Errc::kMemoryLimit, "no address space for protected memory");
  return std::span(static_cast<std::byte*>(base) + kPageBytes, bytes);
}

Status back(std::span<std::byte> range, Kind kind, const ProtectionKey& key) noexcept {
  const bool mapped = kind == Kind::kSecretMemory ? map_secret(range) : map_locked(range);
  if (!mapped) return fail(Errc::kMemoryLimit, "protected memory cannot be locked");
  // Secret memory is never dumped; saying so again costs nothing and keeps both forms alike.
  ::madvise(range.data(), range.size(), MADV_DONTDUMP);
  return key.guard(range);
}

void unback(std::span<std::byte> range) noexcept {
  ::mmap(range.data(), range.size(), PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

std::size_t touch(std::span<std::byte> range) noexcept {
  const std::size_t pages = range.size() / kPageBytes;
  for (std::size_t i = 0; i < pages; ++i) {
    auto* const word = reinterpret_cast<volatile unsigned long*>(range.data() + i * kPageBytes);
    // A write by the kernel ends in EFAULT where ours would end the process. This call has no other
    // effect, and is one that every scope makes, so no filter of the host's forbids it.
    if (::syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, word, sizeof *word) != 0) return i;
    *word = 0;
  }
  return pages;
}

Status lock(std::span<std::byte> range) noexcept {
  // On fault: locking must not touch pages that no one uses.
  if (::mlock2(range.data(), range.size(), MLOCK_ONFAULT) == 0) return {};
  if (::mlock(range.data(), range.size()) == 0) return {};
  return fail(Errc::kMemoryLimit, "mlock failed");
}

bool secret_memory_available() noexcept {
  const auto range = reserve(kPageBytes);
  if (!range.ok()) return false;
  const bool available = map_secret(range.value()) && touch(range.value()) == 1;
  ::munmap(range.value().data() - kPageBytes, 3 * kPageBytes);
  return available;
}

}  // namespace vhsm::memory
