// SPDX-License-Identifier: Apache-2.0
#include "memory/protection_key.h"

#include <sys/mman.h>

namespace vhsm::memory {

bool ProtectionKey::take() noexcept {
  const int number = ::pkey_alloc(0, PKEY_DISABLE_ACCESS);
  if (number < 0) return false;
  number_ = number;
  mask_ = 3U << (2 * number);
  return true;
}

Status ProtectionKey::guard(std::span<std::byte> range) const noexcept {
  if (!taken()) return {};
  if (::pkey_mprotect(range.data(), range.size(), PROT_READ | PROT_WRITE, number_) == 0) return {};
  return fail(Errc::kMemoryLimit, "protected memory cannot be put under its protection key");
}

}  // namespace vhsm::memory
