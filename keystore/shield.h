// SPDX-License-Identifier: Apache-2.0
//
// The key that cold keys are sealed under: AES-256-GCM, made at first need, one for each process
// and those that it forks, never outside protected memory. Everything here runs inside a scope.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

/// Nonce, ciphertext, tag. Public: it may lie anywhere.
using Sealed = std::vector<std::uint8_t>;

/// Seals `clear` under a fresh random nonce: a child draws numbers of its own, so that no nonce
/// serves twice under the key that it shares with its parent.
/// @errors kMemoryLimit, kCrypto.
Result<Sealed> seal(std::span<const std::uint8_t> clear);

/// @errors kDamaged when `sealed` is not what seal() gave; kMemoryLimit, kCrypto.
Result<SecretBytes> unseal(std::span<const std::uint8_t> sealed);

}  // namespace vhsm::keystore
