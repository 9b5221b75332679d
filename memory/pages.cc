// SPDX-License-Identifier: Apache-2.0
#include "memory/pages.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <span>

#include "memory/checks.h"

namespace vhsm::memory {
namespace {

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447  // glibc before 2.36 lacks the name
#endif

constexpr unsigned kCloseOnExec = 02000000;  // O_CLOEXEC: memfd_secret's only flag

/// One descriptor for each mapping: a memfd_secret takes its size once.
std::byte* map_secret(std::size_t bytes) noexcept {
  const int descriptor = static_cast<int>(::syscall(SYS_memfd_secret, kCloseOnExec));
  if (descriptor < 0) return nullptr;
  void* mapped = MAP_FAILED;
  if (::ftruncate(descriptor, static_cast<off_t>(bytes)) == 0) {
    mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  }
  ::syscall(SYS_close, descriptor);  // close(2) is a cancellation point
  return mapped == MAP_FAILED ? nullptr : static_cast<std::byte*>(mapped);
}

std::byte* map_locked(std::size_t bytes) noexcept {
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(mapped);
  if (lock({begin, bytes}).ok()) return begin;
  ::munmap(mapped, bytes);
  return nullptr;
}

}  // namespace

Result<std::span<std::byte>> reserve(std::size_t bytes) {
  void* base = ::mmap(nullptr, bytes + 2 * kPageBytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return fail(Errc::kMemoryLimit, "no address space for protected memory");
  return std::span(static_cast<std::byte*>(base) + kPageBytes, bytes);
}

Status back(std::span<std::byte> range, Kind kind, const ProtectionKey& key) noexcept {
  const std::size_t bytes = range.size();
  std::byte* const made = kind == Kind::kSecretMemory ? map_secret(bytes) : map_locked(bytes);
  if (made == nullptr) return fail(Errc::kMemoryLimit, "protected memory cannot be locked");
  // Secret memory is never dumped; saying so again costs nothing and keeps both forms alike.
  ::madvise(made, bytes, MADV_DONTDUMP);
  // Made elsewhere and then moved: mapping in place would, when it is refused, leave a hole that
  // anyone's next mapping may fill.
  const Status guarded = key.guard({made, bytes});
  if (guarded.ok() &&
      ::mremap(made, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, range.data()) != MAP_FAILED) {
    return {};
  }
  ::munmap(made, bytes);
  return fail(Errc::kMemoryLimit, "protected memory cannot be put in its place");
}

void unback(std::span<std::byte> range) noexcept {
  ::mmap(range.data(), range.size(), PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

std::size_t touch(std::span<std::byte> range) noexcept {
  const std::size_t pages = range.size() / kPageBytes;
  for (std::size_t i = 0; i < pages; ++i) {
    std::byte* const page = range.data() + i * kPageBytes;
    // A write by the kernel ends in EFAULT where ours would end the process. This call has no other
    // effect, and is one that every scope makes, so no filter of the host's forbids it.
    if (::syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, page, sizeof(unsigned long)) != 0)
      return i;
    checks::set_link(page, nullptr);
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
  std::byte* const page = map_secret(kPageBytes);
  if (page == nullptr) return false;
  const bool available = touch({page, kPageBytes}) == 1;
  ::munmap(page, kPageBytes);
  return available;
}

}  // namespace vhsm::memory
