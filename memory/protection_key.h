// SPDX-License-Identifier: Apache-2.0
//
// A memory protection key: pages that carry it are out of a thread's reach until that thread opens
// it, which takes one instruction and no system call. Rights belong to threads: what another thread
// opens stays closed here. The kernel closes it for signal handlers and gives the interrupted code
// its rights back. Where the CPU has no such keys everything here does nothing.
// Sources: pkeys(7); AMD64 Architecture Programmer's Manual, volume 2, section 5.6.7.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace vhsm::memory {

class ProtectionKey {
 public:
  constexpr ProtectionKey() = default;

  /// Takes a key from the kernel, closed for the calling thread. @return false when there is none.
  bool take() noexcept;
  [[nodiscard]] bool taken() const noexcept { return mask_ != 0; }

  /// Puts `range` under the key. New mappings at the same place are not.
  /// Async-signal-safe. @errors kMemoryLimit.
  Status guard(std::span<std::byte> range) const noexcept;

  /// Opens the key for the calling thread. @return the rights as they were, for restore(); before
  /// there is a key: none.
  std::uint32_t open() const noexcept {
    if (mask_ == 0) return kNoRights;
    const std::uint32_t rights = read();
    if ((rights & mask_) != 0) write(rights & ~mask_);
    return rights;
  }
  void restore(std::uint32_t earlier) const noexcept {
    if (mask_ == 0) return;
    const std::uint32_t rights = read();
    const std::uint32_t restored = (rights & ~mask_) | (earlier & mask_);
    if (restored != rights) write(restored);
  }

 private:
  static constexpr std::uint32_t kNoRights = 0xFFFFFFFF;  // each key's two bits deny

  static std::uint32_t read() noexcept {
    std::uint32_t rights = 0;
    __asm__ volatile("rdpkru" : "=a"(rights) : "c"(0) : "edx");
    return rights;
  }
  /// The clobber keeps the compiler from moving accesses across.
  static void write(std::uint32_t rights) noexcept {
    __asm__ volatile("wrpkru" : : "a"(rights), "c"(0), "d"(0) : "memory");
  }

  int number_ = -1;
  std::uint32_t mask_ = 0;  ///< the key's two bits in PKRU
};

}  // namespace vhsm::memory
