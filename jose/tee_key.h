// SPDX-License-Identifier: Apache-2.0
//
// The key pair of one attestation: its public half is bound into the report, its private half
// opens what the KBS sends and never leaves protected memory.
#pragma once

#include <cstdint>
#include <utility>

#include "base/handle.h"
#include "base/result.h"
#include "jose/jwk.h"
#include "memory/secret_bytes.h"

namespace vhsm::jose {

enum class TeeKeyKind : std::uint8_t {
  kP256,  ///< ECDH-ES+A256KW
  kP521,  ///< the same; Trustee from v0.16 on
  kRsa,   ///< RSA-OAEP-256, 2048 bits
};

/// Move-only. Needs memory::initialise() first.
class TeeKey {
 public:
  /// A fresh pair.
  /// @errors kCrypto, kMemoryLimit, kForked.
  static Result<TeeKey> generate(TeeKeyKind kind = TeeKeyKind::kP256);

  /// What exported() gave.
  /// @errors kBadFormat, kUnsupported, kCrypto, kMemoryLimit, kForked.
  static Result<TeeKey> imported(const SecretBytes& exported);

  TeeKey(TeeKey&&) noexcept = default;
  TeeKey& operator=(TeeKey&& other) noexcept;
  TeeKey(const TeeKey&) = delete;
  TeeKey& operator=(const TeeKey&) = delete;
  ~TeeKey();

  /// For decrypt(); never null but in a moved-from object.
  [[nodiscard]] EVP_PKEY* key() const noexcept { return key_.get(); }
  [[nodiscard]] const TeeJwk& public_jwk() const noexcept { return jwk_; }
  /// The pair as SEC 1 (RFC 5915) or PKCS #1 DER (RFC 8017, appendix A.1.2), for another process
  /// that is to use the same attestation.
  /// @errors kCrypto, kMemoryLimit, kForked.
  [[nodiscard]] Result<SecretBytes> exported() const;

 private:
  static Result<TeeKey> adopt(ossl::PKey key);
  TeeKey(ossl::PKey key, TeeJwk jwk) : key_(std::move(key)), jwk_(std::move(jwk)) {}

  ossl::PKey key_;
  TeeJwk jwk_;
};

}  // namespace vhsm::jose
