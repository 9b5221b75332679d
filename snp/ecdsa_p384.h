// SPDX-License-Identifier: Apache-2.0
//
// ECDSA on P-384 over SHA-384, as SEV-SNP writes it.
// Source: AMD 56860, table "Format for an ECDSA P-384 with SHA-384 Signature".
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/handle.h"
#include "base/result.h"

namespace vhsm::snp {

inline constexpr std::size_t kP384NumberBytes = 72;  ///< little-endian, zeros above 48 bytes

/// r, then s.
using P384Signature = std::array<std::uint8_t, 2 * kP384NumberBytes>;

/// @errors kBadSignature for one that is not by `key`.
[[nodiscard]] Status verify_p384(EVP_PKEY* key, std::span<const std::uint8_t> message,
                                 std::span<const std::uint8_t, 2 * kP384NumberBytes> signature);

/// The public key with these coordinates, little-endian.
/// @errors kBadFormat for no point of the curve.
[[nodiscard]] Result<ossl::PKey> public_p384(std::span<const std::uint8_t, kP384NumberBytes> x,
                                             std::span<const std::uint8_t, kP384NumberBytes> y);

/// @param key  private; where it is in protected memory, call this in a scope.
/// @errors kCrypto.
[[nodiscard]] Result<P384Signature> sign_p384(EVP_PKEY* key, std::span<const std::uint8_t> message);

}  // namespace vhsm::snp
