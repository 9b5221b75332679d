// SPDX-License-Identifier: Apache-2.0
//
// The key pair of one attestation: its public half is bound into the report, its private half
// opens what the KBS sends and never leaves protected memory.
#pragma once

#include <string>
#include <utility>

#include "base/handle.h"
#include "base/result.h"
#include "jose/jwk.h"
#include "memory/secret_bytes.h"

namespace vhsm::jose {

/// Move-only. Needs memory::initialise() first.
class TeeKey {
 public:
  /// A fresh pair for ECDH-ES+A256KW.
  /// @param curve  P-256 or P-521.
  /// @errors kUnsupported, kCrypto, kMemoryLimit, kForked.
  static Result<TeeKey> generate(const std::string& curve = "P-256");

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
  [[nodiscard]] const EcPublicJwk& public_jwk() const noexcept { return jwk_; }
  /// The pair as SEC 1 DER (RFC 5915), for another process that is to use the same attestation.
  /// @errors kCrypto, kMemoryLimit, kForked.
  [[nodiscard]] Result<SecretBytes> exported() const;

 private:
  static Result<TeeKey> adopt(ossl::PKey key);
  TeeKey(ossl::PKey key, EcPublicJwk jwk) : key_(std::move(key)), jwk_(std::move(jwk)) {}

  ossl::PKey key_;
  EcPublicJwk jwk_;
};

}  // namespace vhsm::jose
