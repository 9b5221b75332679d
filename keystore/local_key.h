// SPDX-License-Identifier: Apache-2.0
//
// A key of this process.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/handle.h"
#include "base/metrics.h"
#include "keystore/inner_context.h"
#include "keystore/key.h"
#include "keystore/key_policy.h"
#include "keystore/permit.h"
#include "keystore/private_half.h"
#include "keystore/use_count.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

class LocalKey final : public Key, public std::enable_shared_from_this<LocalKey> {
 public:
  /// @param secret  null for a public key.
  LocalKey(PublicHalf half, std::unique_ptr<PrivateHalf> secret,
           std::optional<KeyUri> uri = std::nullopt, std::shared_ptr<Metrics> metrics = nullptr,
           Keeping keeping = Keeping::kStored) noexcept
      : Key(std::move(half), std::move(uri), keeping),
        private_(std::move(secret)),
        metrics_(std::move(metrics)) {}

  /// Takes over `pair`, which goes with `half`.
  /// @errors kMemoryLimit, kCrypto.
  static Result<std::shared_ptr<LocalKey>> hold(PublicHalf half, HeldPKey pair,
                                                std::optional<KeyUri> uri = std::nullopt,
                                                std::shared_ptr<Metrics> metrics = nullptr,
                                                Keeping keeping = Keeping::kStored);

  [[nodiscard]] bool has_private() const noexcept override { return private_ != nullptr; }
  Status validate(Selection selection, bool quick) const override;
  Result<std::unique_ptr<Operation>> begin(const OperationRequest& request) const override;

  /// Idle contexts, as ContextPool's.
  InnerContextPtr take(OperationKind kind, std::string_view digest,
                       std::string_view settings) const noexcept;
  void put(InnerContextPtr context) const noexcept;
  void count_operation() const noexcept;

  /// Puts the key under a gate. Once, before anybody else has it.
  void bind(PermitPtr permit) const noexcept { permit_ = std::move(permit); }
  /// What somebody who has a say allows. Before anybody else has the key.
  void bind(KeyPolicy policy) const { policies_.push_back(std::move(policy)); }
  /// How often it may be used. As the others.
  void bind(UseCountPtr uses) const noexcept { uses_ = std::move(uses); }
  /// Before each use of the private half; nearly nothing for a key without gate and policy.
  /// @errors as Permit::ask() and KeyPolicy::allow().
  Status ask(OperationKind kind) const {
    if (permit_ != nullptr) VHSM_TRY(permit_->ask());
    return policies_.empty() ? Status() : ask_policies(kind);
  }
  /// What is set in a context, just before the private half is used. In a scope.
  /// @errors as KeyPolicy::allow().
  Status check(const InnerContext& context) const {
    return policies_.empty() ? Status() : check_policies(context);
  }
  /// Before each operation with the private half, whatever comes of it. Not in a scope.
  /// @errors as UseCount::spend().
  Status spend() const { return uses_ == nullptr ? Status() : uses_->spend(); }
  [[nodiscard]] bool revoked() const noexcept override {
    return permit_ != nullptr && permit_->revoked();
  }
  void wipe() const noexcept override {
    if (private_ != nullptr) private_->wipe();
  }

  /// PKCS#8 (RFC 5958) of the private half, in protected memory: for what seals it. Outside a
  /// scope.
  /// @errors kMemoryLimit, kCrypto, kDamaged.
  Result<SecretBytes> encoded() const;

  /// Null for a public key.
  [[nodiscard]] const PrivateHalf* private_half() const noexcept { return private_.get(); }

 private:
  Status ask_policies(OperationKind kind) const;
  Status check_policies(const InnerContext& context) const;
  Result<InnerContextPtr> begin_held(const OperationRequest& request) const;
  Result<InnerContextPtr> begin_public(const OperationRequest& request) const;
  [[nodiscard]] Error named(const Error& error) const noexcept;

  const std::unique_ptr<PrivateHalf> private_;
  std::shared_ptr<Metrics> metrics_;
  mutable PermitPtr permit_;                 ///< null: no gate
  mutable std::vector<KeyPolicy> policies_;  ///< all of which hold
  mutable UseCountPtr uses_;                 ///< null: not counted
  mutable ContextPool idle_;                 ///< of the public half
};

}  // namespace vhsm::keystore
