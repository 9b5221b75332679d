// SPDX-License-Identifier: Apache-2.0
//
// An operation on a key as OpenSSL drives it: made empty, begun with a key, given parameters, run.
// Key exchange, encapsulation and asymmetric ciphers need no more; signatures add digests
// (signer.h).
#pragma once

#include <openssl/core.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "keystore/key.h"
#include "provider/key_handle.h"

namespace vhsm::provider {

class OperationContext {
 public:
  using Provider = vhsm::provider::Provider;
  using Key = KeyHandle;

  static Result<std::unique_ptr<OperationContext>> create(Provider& provider) {
    return std::make_unique<OperationContext>(provider);
  }
  explicit OperationContext(Provider& provider) noexcept : provider_(&provider) {}

  [[nodiscard]] const ossl::Core& core() const noexcept;
  /// @errors kCrypto when the private OpenSSL cannot copy this operation.
  [[nodiscard]] Result<std::unique_ptr<OperationContext>> clone() const;

  /// Starts anew; a null `handle` keeps the key of the last time.
  /// @errors kNoPrivateKey, kUnsupported, kPolicy, kCrypto.
  Status begin(keystore::OperationKind kind, const KeyHandle* handle, const OSSL_PARAM params[]);

  /// begin() of an encapsulation where both sides have keys.
  /// @errors kInvalidArgument without a peer; as begin().
  Status begin_with(keystore::OperationKind kind, const KeyHandle* handle, const KeyHandle* peer,
                    const OSSL_PARAM params[]);

  /// A null `out` asks for the upper bound of the size.
  /// @errors kWrongState before begin(); what Operation::run() says.
  Result<std::size_t> run(std::span<const std::uint8_t> in, std::span<std::uint8_t> out);
  Result<bool> verify(std::span<const std::uint8_t> in, std::span<const std::uint8_t> signature);
  Status set_peer(const KeyHandle* peer);
  Result<keystore::Encapsulated> encapsulate(std::span<std::uint8_t> wrapped,
                                             std::span<std::uint8_t> secret);

  Status set_params(const OSSL_PARAM params[]);
  Status get_params(OSSL_PARAM params[]) const;
  [[nodiscard]] const OSSL_PARAM* settable_params() const noexcept;
  [[nodiscard]] const OSSL_PARAM* gettable_params() const noexcept;

 protected:
  [[nodiscard]] Provider& provider() const noexcept { return *provider_; }
  [[nodiscard]] const keystore::KeyPtr& key() const noexcept { return key_; }
  [[nodiscard]] bool begun() const noexcept { return operation_ != nullptr; }
  /// begin() with the digest that the input will have.
  Status begin_request(keystore::OperationRequest request, const KeyHandle* handle);
  Status copy_from(const OperationContext& other);

 private:
  Provider* provider_;
  keystore::KeyPtr key_;
  std::unique_ptr<keystore::Operation> operation_;
};

}  // namespace vhsm::provider
