// SPDX-License-Identifier: Apache-2.0
//
// An operation with a symmetric key as OpenSSL drives it: made without a key, which comes by the
// parameter vhsm-uri or as a handle, and at any time before it is needed.
#pragma once

#include <openssl/core.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "keystore/symmetric_operation.h"
#include "provider/ossl/core.h"
#include "provider/secret_handle.h"
#include "provider/symmetric_params.h"

namespace vhsm::provider {

class SymmetricContext {
 public:
  struct Begin {
    const SecretHandle* key = nullptr;  ///< null: by `params`, or that of the last time
    bool forwards = true;
    std::span<const std::uint8_t> iv{};
    const OSSL_PARAM* params = nullptr;
  };

  static Result<std::unique_ptr<SymmetricContext>> create(
      Provider& provider, const keystore::SymmetricAlgorithm& algorithm);

  [[nodiscard]] const ossl::Core& core() const noexcept;
  [[nodiscard]] Result<std::unique_ptr<SymmetricContext>> clone() const;

  /// Takes the key that `vhsm-uri` names; the rest is the algorithm's.
  Status set_params(const OSSL_PARAM params[]);
  Status get_params(OSSL_PARAM params[]) const;
  /// @errors kUnsupported for a `param_name` that is not the key.
  Status set_key(const SecretHandle* key, std::string_view param_name);

  /// Starts anew. Errors as SymmetricOperation's.
  Status begin(const Begin& begin);
  Result<std::size_t> update(std::span<const std::uint8_t> in, std::span<std::uint8_t> out);
  Result<std::size_t> finish(std::span<std::uint8_t> out);

  /// KDF: the output as a key that stays here.
  /// @param provctx  of the key management that the key is for; must be this provider's.
  Result<std::unique_ptr<SecretHandle>> derive_key(const void* provctx, std::size_t bytes,
                                                   const OSSL_PARAM params[]);
  /// As after create().
  Status reset();

 private:
  SymmetricContext(Provider& provider, const keystore::SymmetricAlgorithm& algorithm,
                   std::unique_ptr<keystore::SymmetricOperation> operation) noexcept
      : provider_(&provider), algorithm_(&algorithm), operation_(std::move(operation)) {}

  Result<std::vector<OSSL_PARAM>> take_key(const OSSL_PARAM params[]);
  Status start(std::span<const std::uint8_t> iv);
  Status take_up_key();
  [[nodiscard]] bool is_cipher() const noexcept;

  Provider* provider_;
  const keystore::SymmetricAlgorithm* algorithm_;
  std::unique_ptr<keystore::SymmetricOperation> operation_;
  keystore::SymmetricKeyPtr new_key_;  ///< that the operation has not got yet
  bool forwards_ = true;
  bool begun_ = false;
};

/// One algorithm, for dispatch tables.
template <const keystore::SymmetricAlgorithm& kAlgorithm>
struct Symmetric {
  using Provider = vhsm::provider::Provider;
  using Context = SymmetricContext;
  using Key = SecretHandle;

  static Result<std::unique_ptr<Context>> create(Provider& provider) {
    return Context::create(provider, kAlgorithm);
  }
  static const OSSL_PARAM* settable_ctx_params(const Provider& provider) noexcept {
    return settable_params(provider, kAlgorithm);
  }
  static const OSSL_PARAM* gettable_ctx_params() noexcept {
    return provider::gettable_params(kAlgorithm);
  }
  static const OSSL_PARAM* gettable_params() noexcept {
    return gettable_algorithm_params(kAlgorithm);
  }
  static bool get_params(OSSL_PARAM params[]) noexcept {
    return answer_algorithm_params(kAlgorithm, params);
  }
};

}  // namespace vhsm::provider
