// SPDX-License-Identifier: Apache-2.0
//
// A key generation in progress: OpenSSL's "genctx".
#pragma once

#include <memory>

#include "keystore/key.h"
#include "provider/key_handle.h"

namespace vhsm::provider {

/// Generated keys are ephemeral: nothing is left behind when the last handle goes.
class KeyGenerator {
 public:
  /// @param selection  without key pair bits: domain parameters alone (EC), or a blank key for the
  ///                   types that have none.
  /// @errors kUnsupported.
  static Result<std::unique_ptr<KeyGenerator>> create(Provider& provider,
                                                      const keystore::KeyType& type,
                                                      keystore::Selection selection,
                                                      const OSSL_PARAM params[]);

  [[nodiscard]] const ossl::Core& core() const noexcept;
  /// @errors kUnsupported for `vhsm-uri`; kInvalidArgument, kCrypto.
  Status set_params(const OSSL_PARAM params[]);
  [[nodiscard]] const OSSL_PARAM* settable_params() const noexcept;
  Status set_template(const KeyHandle& handle);
  Result<std::unique_ptr<KeyHandle>> generate();

 private:
  KeyGenerator(Provider& provider, const keystore::KeyType& type,
               std::unique_ptr<keystore::Generator> generator) noexcept
      : provider_(&provider), type_(&type), generator_(std::move(generator)) {}

  Provider* provider_;
  const keystore::KeyType* type_;
  std::unique_ptr<keystore::Generator> generator_;  ///< null: a blank key is asked for
};

}  // namespace vhsm::provider
