// SPDX-License-Identifier: Apache-2.0
//
// Signing and verifying: an operation that can hash its message first. The hash runs in the
// ordinary heap (a message is no secret of ours); only its result meets the key.
// A signer that was made for a scheme hashes and signs as the scheme's name says.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string_view>
#include <vector>

#include "base/handle.h"
#include "provider/operation_context.h"
#include "provider/signature_scheme.h"

namespace vhsm::provider {

class Signer : public OperationContext {
 public:
  static Result<std::unique_ptr<Signer>> create(Provider& provider) {
    return std::make_unique<Signer>(provider);
  }
  /// @param scheme  null: digest and padding are parameters. Static lifetime.
  explicit Signer(Provider& provider, const SignatureScheme* scheme = nullptr) noexcept
      : OperationContext(provider), scheme_(scheme) {}

  [[nodiscard]] Result<std::unique_ptr<Signer>> clone() const;

  /// As OperationContext's: what is signed is a digest, or raw data.
  Status begin(keystore::OperationKind kind, const KeyHandle* handle, const OSSL_PARAM params[]);

  /// begin() for whole messages, which are given to sign() and verify(), or to update().
  /// @param kind  kSign or kVerify.
  Status begin_message(keystore::OperationKind kind, const KeyHandle* handle,
                       const OSSL_PARAM params[]);

  /// begin() for whole messages with the digest's name. An empty `digest` keeps the last one, or
  /// takes the key's default; types that sign whole messages take none.
  /// @param kind  kSign or kVerify.
  /// @errors kUnsupported for an unknown digest.
  Status begin_digest(keystore::OperationKind kind, std::string_view digest,
                      const KeyHandle* handle, const OSSL_PARAM params[]);

  /// Of a message after begin_message(), else as OperationContext's run() and verify().
  Result<std::size_t> sign(std::span<const std::uint8_t> in, std::span<std::uint8_t> out);
  Result<bool> verify(std::span<const std::uint8_t> in, std::span<const std::uint8_t> signature);

  Status update(std::span<const std::uint8_t> part);
  Result<std::size_t> finish_sign(std::span<std::uint8_t> out);
  Result<bool> finish_verify(std::span<const std::uint8_t> signature);
  /// With the signature that was set as a parameter.
  /// @errors kWrongState when none was.
  Result<bool> finish_verify();
  Result<std::size_t> sign_message(std::span<const std::uint8_t> message,
                                   std::span<std::uint8_t> out);
  Result<bool> verify_message(std::span<const std::uint8_t> message,
                              std::span<const std::uint8_t> signature);

  /// As OperationContext's; a `digest` other than the one begun with is an error, and so is what
  /// the scheme's name has fixed.
  Status set_params(const OSSL_PARAM params[]);
  [[nodiscard]] const OSSL_PARAM* settable_params() const noexcept;

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
  /// Empty without a scheme, and where that signs whole messages.
  [[nodiscard]] std::string_view scheme_digest() const noexcept;
  Status start(keystore::OperationRequest request, const KeyHandle* handle,
               const OSSL_PARAM params[]);
  Status begin_whole(keystore::OperationKind kind, const KeyHandle* handle,
                     const OSSL_PARAM params[]);
  Status set_scheme_params(const OSSL_PARAM params[]);
  Status check_digest(std::string_view name) const;
  Status choose_digest(std::string_view name);
  Status start_hash();
  Status finish_hash(Hash& hash);
  Status hash_message(std::span<const std::uint8_t> message, Hash& hash);

  const SignatureScheme* scheme_;
  keystore::OperationKind kind_ = keystore::OperationKind::kSign;
  const EVP_MD* digest_ = nullptr;  ///< of the provider's cache; null: messages are not hashed here
  bool hashes_ = false;             ///< sign() and verify() take messages
  ossl::MdCtx running_;             ///< null until update()
  std::vector<std::uint8_t> signature_;  ///< to be verified by finish_verify()
};

}  // namespace vhsm::provider
