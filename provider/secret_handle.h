// SPDX-License-Identifier: Apache-2.0
//
// What OpenSSL holds as keydata of an EVP_SKEY: a handle around an immutable symmetric key.
#pragma once

#include <openssl/core.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "keystore/symmetric_key.h"
#include "provider/ossl/core.h"

namespace vhsm::provider {

class Provider;

/// Names a symmetric key: EVP_SKEY_import(3), EVP_MAC_CTX_set_params(3) and their like.
inline constexpr const char* kSecretUriParam = "vhsm-uri";

/// The symmetric key that a parameter names; here, or fetched.
/// @errors kInvalidArgument for a parameter of another type, kBadUri, kMissing when something else
///         stands behind the name, and those of Keystore::open().
Result<keystore::SymmetricKeyPtr> open_secret(Provider& provider, const OSSL_PARAM& uri);

class SecretHandle {
 public:
  using Provider = vhsm::provider::Provider;

  SecretHandle(Provider& provider, keystore::SymmetricKeyPtr key);

  /// By `vhsm-uri`.
  /// @errors kUnsupported for a key in the clear; those of open_secret().
  static Result<std::unique_ptr<SecretHandle>> import(Provider& provider,
                                                      const OSSL_PARAM params[]);
  /// An ephemeral key of `key-length` bytes.
  /// @errors kInvalidArgument, kBadLength, kMemoryLimit, kCrypto.
  static Result<std::unique_ptr<SecretHandle>> generate(Provider& provider,
                                                        const OSSL_PARAM params[]);
  static const OSSL_PARAM* import_params() noexcept;
  static const OSSL_PARAM* generate_params() noexcept;

  [[nodiscard]] const ossl::Core& core() const noexcept;
  [[nodiscard]] const keystore::SymmetricKeyPtr& key() const noexcept { return key_; }
  /// The URI; null for an ephemeral key.
  [[nodiscard]] const char* id() const noexcept { return id_.empty() ? nullptr : id_.c_str(); }
  /// @errors kNotExportable, always.
  [[nodiscard]] Status refuse_export() const;

 private:
  Provider* provider_;
  keystore::SymmetricKeyPtr key_;
  std::string id_;
};

}  // namespace vhsm::provider
