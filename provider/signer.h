// SPDX-License-Identifier: Apache-2.0
//
// Signing and verifying: an operation that can hash its message first. The hash runs in the
// ordinary heap (a message is no secret of ours); only its result meets the key.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string_view>

#include "base/handle.h"
#include "provider/operation_context.h"

namespace vhsm::provider {

class Signer : public OperationContext {
 public:
  static Result<std::unique_ptr<Signer>> create(Provider& provider) {
    return std::make_unique<Signer>(provider);
  }
  using OperationContext::OperationContext;

  [[nodiscard]] Result<std::unique_ptr<Signer>> clone() const;

  /// begin() for whole messages. An empty `digest` keeps the last one, or takes the key's default;
  /// types that sign whole messages take none.
  /// @param kind  kSign or kVerify.
  /// @errors kUnsupported for an unknown digest.
  Status begin_digest(keystore::OperationKind kind, std::string_view digest,
                      const KeyHandle* handle, const OSSL_PARAM params[]);

  Status update(std::span<const std::uint8_t> part);
  Result<std::size_t> finish_sign(std::span<std::uint8_t> out);
  Result<bool> finish_verify(std::span<const std::uint8_t> signature);
  Result<std::size_t> sign_message(std::span<const std::uint8_t> message,
                                   std::span<std::uint8_t> out);
  Result<bool> verify_message(std::span<const std::uint8_t> message,
                              std::span<const std::uint8_t> signature);

  /// As OperationContext's; a `digest` other than the one begun with is an error.
  Status set_params(const OSSL_PARAM params[]);

  Status get_digest_params(OSSL_PARAM params[]) const;
  Status set_digest_params(const OSSL_PARAM params[]);
  [[nodiscard]] const OSSL_PARAM* gettable_digest_params() const noexcept;
  [[nodiscard]] const OSSL_PARAM* settable_digest_params() const noexcept;

 private:
  struct Hash {
    std::uint8_t bytes[EVP_MAX_MD_SIZE] = {};
    unsigned size = 0;
    [[nodiscard]] std::span<const std::uint8_t> view() const noexcept { return {bytes, size}; }
  };
  Status choose_digest(std::string_view name);
  Status start_hash();
  Status finish_hash(Hash& hash);
  Status hash_message(std::span<const std::uint8_t> message, Hash& hash);

  const EVP_MD* digest_ = nullptr;  ///< of the provider's cache; null: messages are not hashed here
  ossl::MdCtx running_;             ///< null until update()
};

}  // namespace vhsm::provider
