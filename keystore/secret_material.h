// SPDX-License-Identifier: Apache-2.0
//
// Reads what a KBS stores for a symmetric key: the key's bytes themselves, a JWK of the type "oct"
// (RFC 7517; RFC 7518, section 6.4) or a symmetric COSE_Key (RFC 9053, section 7.3). Text that is
// printable from its { to its } is a JWK, and one CBOR map with kty and k is a COSE_Key; everything
// else but a key pair is a key's bytes.
//
// A JWK whose `key_ops` are ["release"] is a *secret*: bytes that its owner lets come out, and that
// no operation takes. Nothing else ever comes out.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "keystore/symmetric_algorithm.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

/// Of a symmetric key. A longer HMAC key would be hashed first (RFC 2104, section 2).
inline constexpr std::size_t kMaxSecretKeyBytes = 1024;
/// Of a secret that may come out: a passphrase, an API key, a key file.
inline constexpr std::size_t kMaxReleasedBytes = std::size_t{64} << 10;

/// What its owner lets a key be used for: literals, bits.
struct KeyUses {
  static constexpr unsigned kEvery = (1U << static_cast<unsigned>(Use::kRelease)) - 1;
  static constexpr unsigned kRelease = 1U << static_cast<unsigned>(Use::kRelease);

  unsigned uses = kEvery;                     ///< bit 1 << Use; kRelease stands alone
  const char* algorithm = nullptr;            ///< SymmetricAlgorithm::name; null: any
  const char* digest = nullptr;               ///< of HMAC; null: any
  std::optional<std::uint64_t> not_before{};  ///< seconds since 1970
  std::optional<std::uint64_t> not_after{};

  [[nodiscard]] static constexpr unsigned bit(Use use) noexcept {
    return 1U << static_cast<unsigned>(use);
  }
};

struct SecretMaterial {
  SecretBytes key;
  KeyUses uses;
};

/// Works in protected memory; `stored` is not changed.
/// @errors kBadFormat (empty, too long, a key pair, a JWK or COSE_Key that is none, or
///         contradicts itself), kUnsupported (its `alg`, `key_ops` or `use` is one that vhsm does
///         not know), kMemoryLimit.
Result<SecretMaterial> parse_secret(const SecretBytes& stored);

/// Of a resource whose name says that it is a secret (`secret_paths`): bytes that are no JWK come
/// out. A key does not: neither a pair, nor a JWK without ["release"].
/// @errors as parse_secret().
Result<SecretMaterial> parse_named_secret(const SecretBytes& stored);

}  // namespace vhsm::keystore
