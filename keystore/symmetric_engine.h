// SPDX-License-Identifier: Apache-2.0
//
// The private OpenSSL's contexts for symmetric keys, under one face: a class each for MACs, ciphers
// and KDFs. All members run in scopes, so that keys, round keys and pads lie in protected memory.
#pragma once

#include <openssl/core.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/handle.h"
#include "base/result.h"
#include "keystore/inner_context.h"
#include "keystore/kept_params.h"
#include "keystore/symmetric_operation.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

using ByteSpan = std::span<const std::uint8_t>;

class MacEngine {
 public:
  using Method = ossl::Mac;
  static constexpr bool kStartsWithKey = true;  ///< each time

  static Method fetch(const char* name) { return Method(EVP_MAC_fetch(nullptr, name, nullptr)); }
  static SymmetricParams describe(const Method& mac);
  static Status get_algorithm_params(const Method& mac, OSSL_PARAM params[]);
  static Result<MacEngine> create(const Method& mac);

  Status set_params(const OSSL_PARAM params[]);
  Status get_params(OSSL_PARAM params[]) const;
  Status start(const SymmetricStart& start, ByteSpan key);
  Result<std::size_t> update(ByteSpan in, std::span<std::uint8_t> out);
  Result<std::size_t> finish(std::span<std::uint8_t> out);
  [[nodiscard]] Result<MacEngine> copy() const;

 private:
  using Ctx = std::unique_ptr<EVP_MAC_CTX, ScopedFree<EVP_MAC_CTX_free>>;
  explicit MacEngine(Ctx ctx) noexcept : ctx_(std::move(ctx)) {}
  Ctx ctx_;
};

class CipherEngine {
 public:
  using Method = ossl::Cipher;
  static constexpr bool kStartsWithKey = false;

  static Method fetch(const char* name) { return Method(EVP_CIPHER_fetch(nullptr, name, nullptr)); }
  static SymmetricParams describe(const Method& cipher);
  static Status get_algorithm_params(const Method& cipher, OSSL_PARAM params[]);
  static Result<CipherEngine> create(const Method& cipher);

  Status set_params(const OSSL_PARAM params[]);
  Status get_params(OSSL_PARAM params[]) const;
  Status start(const SymmetricStart& start, ByteSpan key);
  Result<std::size_t> update(ByteSpan in, std::span<std::uint8_t> out);
  Result<std::size_t> finish(std::span<std::uint8_t> out);
  [[nodiscard]] Result<CipherEngine> copy() const;

 private:
  using Ctx = std::unique_ptr<EVP_CIPHER_CTX, ScopedFree<EVP_CIPHER_CTX_free>>;
  explicit CipherEngine(Ctx ctx) noexcept : ctx_(std::move(ctx)) {}
  [[nodiscard]] bool wraps() const noexcept;
  [[nodiscard]] bool takes_null_output() const noexcept;
  [[nodiscard]] std::size_t growth() const noexcept;

  Ctx ctx_;
  bool has_iv_ = false;
};

class KdfEngine {
 public:
  using Method = ossl::Kdf;
  static constexpr bool kStartsWithKey = true;

  static Method fetch(const char* name) { return Method(EVP_KDF_fetch(nullptr, name, nullptr)); }
  static SymmetricParams describe(const Method& kdf);
  static Status get_algorithm_params(const Method& kdf, OSSL_PARAM params[]);
  static Result<KdfEngine> create(const Method& kdf);

  Status set_params(const OSSL_PARAM params[]);
  Status get_params(OSSL_PARAM params[]) const;
  Status start(const SymmetricStart& start, ByteSpan key);
  Result<std::size_t> update(ByteSpan in, std::span<std::uint8_t> out);
  Result<std::size_t> finish(std::span<std::uint8_t> out);
  [[nodiscard]] Result<KdfEngine> copy() const;

 private:
  using Ctx = std::unique_ptr<EVP_KDF_CTX, ScopedFree<EVP_KDF_CTX_free>>;
  explicit KdfEngine(Ctx ctx) noexcept : ctx_(std::move(ctx)) {}
  Ctx ctx_;
  // Some derivations forget, or refuse, what does not come with the rest; so all comes at once.
  KeptParams params_;
  SecretBytes key_;
};

}  // namespace vhsm::keystore
