// SPDX-License-Identifier: Apache-2.0
//
// The secret steps of a JWE. Every function here must be called inside memory::run_protected().
// Source: RFC 7518, section 4.6.2 (Concat KDF); RFC 3394 (AES key wrap); RFC 7518, section 4.3
// (RSA-OAEP-256); RFC 7518, section 5.3 (AES-GCM).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "memory/secret_bytes.h"

namespace vhsm::jose {

inline constexpr std::size_t kCekBytes = 32;
inline constexpr std::size_t kWrappedCekBytes = kCekBytes + 8;
inline constexpr std::size_t kIvBytes = 12;
inline constexpr std::size_t kTagBytes = 16;

using Bytes = std::span<const std::uint8_t>;

/// ECDH: the x-coordinate of the shared point, of the curve's full length.
/// @errors kCrypto, kMemoryLimit.
[[nodiscard]] Result<SecretBytes> shared_secret(EVP_PKEY* own, EVP_PKEY* peer);

/// Concat KDF with SHA-256.
/// @param algorithm  AlgorithmID: "alg", or "enc" in direct agreement.
/// @param key_bytes  the wanted key's length, 1..64.
/// @errors kCrypto, kMemoryLimit.
[[nodiscard]] Result<SecretBytes> concat_kdf(const SecretBytes& z, std::string_view algorithm,
                                             Bytes party_u, Bytes party_v, std::size_t key_bytes);

/// AES-256 key wrap with the default IV; `key` is kCekBytes long.
/// @errors kCrypto.
[[nodiscard]] Result<std::array<std::uint8_t, kWrappedCekBytes>> wrap(const SecretBytes& kek,
                                                                      const SecretBytes& key);

/// @errors kForged when the wrapped key does not authenticate; kCrypto, kMemoryLimit.
[[nodiscard]] Result<SecretBytes> unwrap(const SecretBytes& kek,
                                         std::span<const std::uint8_t, kWrappedCekBytes> wrapped);

/// RSA-OAEP with SHA-256, in MGF1 too, and an empty label.
/// @errors kCrypto.
[[nodiscard]] Result<std::vector<std::uint8_t>> transport(EVP_PKEY* peer, const SecretBytes& key);

/// @errors kForged when `wrapped` does not open to a key of kCekBytes; kCrypto, kMemoryLimit.
[[nodiscard]] Result<SecretBytes> receive(EVP_PKEY* own, Bytes wrapped);

/// AES-256-GCM. `ciphertext` is as long as `plaintext`.
/// @errors kCrypto.
[[nodiscard]] Status gcm_seal(const SecretBytes& key, std::span<const std::uint8_t, kIvBytes> iv,
                              std::string_view aad, Bytes plaintext,
                              std::span<std::uint8_t> ciphertext,
                              std::span<std::uint8_t, kTagBytes> tag);

/// @errors kForged when the tag does not fit; kCrypto, kMemoryLimit.
[[nodiscard]] Result<SecretBytes> gcm_open(const SecretBytes& key,
                                           std::span<const std::uint8_t, kIvBytes> iv,
                                           std::string_view aad, Bytes ciphertext,
                                           std::span<const std::uint8_t, kTagBytes> tag);

}  // namespace vhsm::jose
