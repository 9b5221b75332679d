// SPDX-License-Identifier: Apache-2.0
//
// A key of this process: its private half is an inner EVP_PKEY in protected memory, worked on
// inside scopes only.
#pragma once

#include <memory>
#include <optional>

#include "base/handle.h"
#include "base/metrics.h"
#include "keystore/inner_context.h"
#include "keystore/key.h"
#include "memory/protected_memory.h"

namespace vhsm::keystore {

class LocalKey final : public Key, public std::enable_shared_from_this<LocalKey> {
 public:
  /// @param pair  null for a public key.
  LocalKey(PublicHalf half, HeldPKey pair, std::optional<KeyUri> uri = std::nullopt,
           std::shared_ptr<Metrics> metrics = nullptr) noexcept
      : Key(std::move(half), std::move(uri)),
        pair_(std::move(pair)),
        metrics_(std::move(metrics)) {}

  [[nodiscard]] bool has_private() const noexcept override { return pair_ != nullptr; }
  Status validate(Selection selection, bool quick) const override;
  Result<std::unique_ptr<Operation>> begin(const OperationRequest& request) const override;

  /// The pair; null for a public key. To be worked on inside a scope only.
  [[nodiscard]] EVP_PKEY* pair() const noexcept { return pair_.get(); }
  [[nodiscard]] ContextPool& pool() const noexcept { return pool_; }
  void count_operation() const noexcept;

 private:
  HeldPKey pair_;
  std::shared_ptr<Metrics> metrics_;
  mutable ContextPool pool_;
};

/// Proves by a trial (a signature, or the pair's own check) that both halves belong together: a
/// foreign public half would let two Ed25519 signatures give the scalar away.
/// @errors kBadFormat. Not inside a scope.
Status check_pair(const PublicHalf& half, EVP_PKEY* pair);

}  // namespace vhsm::keystore
