// SPDX-License-Identifier: Apache-2.0
//
// A private operation that vhsmd performs. What can be asked and set before it is answered here,
// from a public operation of the same algorithm, its shadow: one message for each operation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "keystore/daemon/remote_key.h"
#include "keystore/daemon/wire_params.h"
#include "keystore/key.h"

namespace vhsm::keystore {

class RemoteOperation final : public Operation {
 public:
  RemoteOperation(std::shared_ptr<const RemoteKey> key, OperationKind kind, std::string digest,
                  std::unique_ptr<Operation> shadow) noexcept
      : key_(std::move(key)), kind_(kind), digest_(std::move(digest)), shadow_(std::move(shadow)) {}

  Status set_params(const OSSL_PARAM params[]) override;
  Status get_params(OSSL_PARAM params[]) const override { return shadow_->get_params(params); }
  [[nodiscard]] const OSSL_PARAM* settable_params() const override {
    return shadow_->settable_params();
  }
  [[nodiscard]] const OSSL_PARAM* gettable_params() const override {
    return shadow_->gettable_params();
  }
  Result<std::size_t> run(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) override;
  Result<bool> verify(std::span<const std::uint8_t> in,
                      std::span<const std::uint8_t> signature) override;
  Status set_peer(const Key& peer) override;
  Result<Encapsulated> encapsulate(std::span<std::uint8_t> wrapped,
                                   std::span<std::uint8_t> secret) override;
  /// Of an encapsulation, which begins with it.
  Status remember_peer(const Key& peer);
  Result<std::unique_ptr<Operation>> clone() const override;

 private:
  [[nodiscard]] Result<std::size_t> bound(std::span<const std::uint8_t> in) const;
  /// What vhsmd makes of `in`, at most `capacity` bytes.
  [[nodiscard]] Result<Reply> ask(std::span<const std::uint8_t> in, std::size_t capacity) const;

  std::shared_ptr<const RemoteKey> key_;
  OperationKind kind_;
  std::string digest_;
  std::unique_ptr<Operation> shadow_;
  WireParams params_;
  std::vector<std::uint8_t> peer_;  ///< SubjectPublicKeyInfo, DER
};

}  // namespace vhsm::keystore
