// SPDX-License-Identifier: Apache-2.0
//
// A key generation in progress: OpenSSL's "genctx".
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "keystore/key.h"
#include "provider/key_handle.h"

namespace vhsm::provider {

/// Generated keys are ephemeral, and nothing is left behind when the last handle goes, unless
/// `vhsm-uri` gives them a name: then the keystore keeps them as long as it lives.
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
  /// @errors kBadUri, kInvalidArgument, kCrypto.
  Status set_params(const OSSL_PARAM params[]);
  /// Good as long as this.
  [[nodiscard]] const OSSL_PARAM* settable_params();
  Status set_template(const KeyHandle& handle);
  /// @errors those of keystore::Generator; with a name, of Keystore::generate().
  Result<std::unique_ptr<KeyHandle>> generate();

 private:
  KeyGenerator(Provider& provider, const keystore::KeyType& type, bool makes_pairs,
               std::unique_ptr<keystore::Generator> generator) noexcept
      : provider_(&provider),
        type_(&type),
        makes_pairs_(makes_pairs),
        generator_(std::move(generator)) {}

  Status set_name(const OSSL_PARAM& param);
  [[nodiscard]] Result<keystore::KeyPtr> make_key();

  Provider* provider_;
  const keystore::KeyType* type_;
  bool makes_pairs_;
  std::unique_ptr<keystore::Generator> generator_;  ///< null: a blank key is asked for
  std::optional<keystore::KeyName> name_;
  std::vector<OSSL_PARAM> settable_;
};

}  // namespace vhsm::provider
