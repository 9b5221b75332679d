// SPDX-License-Identifier: Apache-2.0
//
// One operation on a key of this process: parameters and data go to an inner context.
#pragma once

#include <memory>

#include "keystore/inner_context.h"
#include "keystore/local_key.h"

namespace vhsm::keystore {

class LocalOperation final : public Operation {
 public:
  LocalOperation(std::shared_ptr<const LocalKey> key, InnerContextPtr inner) noexcept
      : key_(std::move(key)), inner_(std::move(inner)) {}
  /// Gives the inner context back to the key's pool.
  ~LocalOperation() override;
  LocalOperation(const LocalOperation&) = delete;
  LocalOperation& operator=(const LocalOperation&) = delete;

  Status set_params(const OSSL_PARAM params[]) override;
  Status get_params(OSSL_PARAM params[]) const override;
  [[nodiscard]] const OSSL_PARAM* settable_params() const override;
  [[nodiscard]] const OSSL_PARAM* gettable_params() const override;
  Result<std::size_t> run(std::span<const std::uint8_t> in, std::span<std::uint8_t> out) override;
  Result<bool> verify(std::span<const std::uint8_t> in,
                      std::span<const std::uint8_t> signature) override;
  Status set_peer(const Key& peer) override;
  Result<Encapsulated> encapsulate(std::span<std::uint8_t> wrapped,
                                   std::span<std::uint8_t> secret) override;
  Result<std::unique_ptr<Operation>> clone() const override;

 private:
  Result<std::size_t> perform(std::span<const std::uint8_t> in, unsigned char* out,
                              std::size_t capacity);
  Status check_room(std::span<const std::uint8_t> in, const unsigned char* out,
                    std::size_t capacity);
  Result<Encapsulated> make_secret(std::span<std::uint8_t> wrapped, std::span<std::uint8_t> secret);
  Status renew_message();
  bool trade(const std::string& settings);

  std::shared_ptr<const LocalKey> key_;
  InnerContextPtr inner_;
};

}  // namespace vhsm::keystore
