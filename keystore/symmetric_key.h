// SPDX-License-Identifier: Apache-2.0
//
// A symmetric key: never exported, used in scopes only. Its lasting form is ciphertext in ordinary
// memory (shield.h); in the clear it is for as long as an operation takes it over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "keystore/key_name.h"
#include "keystore/key_policy.h"
#include "keystore/permit.h"
#include "keystore/secret_material.h"
#include "keystore/shield.h"
#include "keystore/symmetric_algorithm.h"
#include "keystore/use_count.h"

namespace vhsm::keystore {

class SymmetricKey;
using SymmetricKeyPtr = std::shared_ptr<const SymmetricKey>;

/// Any number of threads; it changes only when it is wiped.
class SymmetricKey {
 public:
  /// @param uri  null for an ephemeral key.
  /// @errors kMemoryLimit, kCrypto.
  static Result<SymmetricKeyPtr> hold(const SecretMaterial& material, std::optional<KeyUri> uri,
                                      std::shared_ptr<Metrics> metrics = nullptr);
  /// A random ephemeral key.  @errors kBadLength, kMemoryLimit, kCrypto.
  static Result<SymmetricKeyPtr> generate(std::size_t bytes);
  /// A key that vhsmd holds.
  static SymmetricKeyPtr remote(KeyUri uri, std::size_t bytes,
                                std::vector<std::uint8_t> fingerprint);

  ~SymmetricKey();
  SymmetricKey(const SymmetricKey&) = delete;
  SymmetricKey& operator=(const SymmetricKey&) = delete;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Tells two keys of one name apart. Derived, and no help against a key of 128 bits; whoever may
  /// ask for it may as well ask for MACs.
  [[nodiscard]] const std::vector<std::uint8_t>& fingerprint() const noexcept {
    return fingerprint_;
  }
  [[nodiscard]] const KeyUri* uri() const noexcept { return uri_ ? &*uri_ : nullptr; }
  /// Whether its bytes are in this process.
  [[nodiscard]] bool here() const noexcept { return here_; }

  /// @param digest  that HMAC is set to; empty for others.
  /// @errors kPolicy, when the key's `alg`, `key_ops`, `use`, `exp` or `nbf` says otherwise, or its
  ///         owner's policy.
  Status allow(const SymmetricAlgorithm& algorithm, Use use, std::string_view digest) const;

  /// As LocalKey's.
  void bind(PermitPtr permit) const noexcept { permit_ = std::move(permit); }
  void bind(KeyPolicy policy) const { policy_ = std::move(policy); }
  void bind(UseCountPtr count) const noexcept { count_ = std::move(count); }
  Status ask() const { return permit_ == nullptr ? Status() : permit_->ask(); }
  /// Before each operation, whatever comes of it. Not in a scope.
  /// @errors as UseCount::spend().
  Status spend() const;
  void wipe() const noexcept;

  /// Whether it is a secret: it may come out, and no operation takes it.
  [[nodiscard]] bool is_secret() const noexcept { return uses_.uses == KeyUses::kRelease; }
  /// The bytes of a secret, for whoever may have them: the one way out. Not in a scope.
  /// @errors kNotExportable for a key; as ask() and open().
  Result<SecretBytes> release() const;

  /// The bytes, for the moment. In a scope.
  /// @errors kDamaged, kMemoryLimit, kNoPrivateKey when they are not here.
  Result<SecretBytes> open() const;

  void count_operation() const noexcept;
  /// `error` about this key.
  [[nodiscard]] Error named(const Error& error) const noexcept;

 private:
  [[nodiscard]] Status allow_now() const;
  [[nodiscard]] Status ask_policy(Use use, std::string_view algorithm,
                                  std::string_view digest) const;

  SymmetricKey(Sealed sealed, std::size_t size, std::vector<std::uint8_t> fingerprint, KeyUses uses,
               std::optional<KeyUri> uri, std::shared_ptr<Metrics> metrics) noexcept
      : here_(!sealed.empty()),
        sealed_(std::move(sealed)),
        size_(size),
        fingerprint_(std::move(fingerprint)),
        uses_(uses),
        uri_(std::move(uri)),
        metrics_(std::move(metrics)) {}

  const bool here_;
  mutable std::shared_mutex mutex_;  ///< of sealed_; held inside scopes only
  mutable Sealed sealed_;            ///< written once more, by wipe(): then it is empty
  mutable PermitPtr permit_;         ///< null: no gate
  mutable std::optional<KeyPolicy> policy_;
  mutable UseCountPtr count_;  ///< null: no limit
  std::size_t size_;
  std::vector<std::uint8_t> fingerprint_;
  KeyUses uses_;
  std::optional<KeyUri> uri_;
  std::shared_ptr<Metrics> metrics_;
};

}  // namespace vhsm::keystore
