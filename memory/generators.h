// SPDX-License-Identifier: Apache-2.0
//
// Where the private OpenSSL's random numbers come from, when not from the kernel.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace vhsm::memory {

/// Generators of random numbers in this process: those inside the private OpenSSL's FIPS
/// provider, which nobody can reach but by drawing from them. They lie where a thread first draws.
struct Generators {
  /// Fills `out` from the calling thread's private one. In scope.
  Status (*draw)(std::span<std::uint8_t> out) = nullptr;
  /// Makes all those of the calling thread. In scope.
  Status (*start)() = nullptr;
};

/// Takes these, for good. After adopt_allocator() and before initialise().
void use_generators(const Generators& generators) noexcept;

}  // namespace vhsm::memory
