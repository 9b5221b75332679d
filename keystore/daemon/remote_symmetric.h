// SPDX-License-Identifier: Apache-2.0
//
// An operation with a symmetric key that vhsmd holds. vhsmd keeps nothing between two requests:
// each piece of output is asked for with all that it depends on. A shadow, the same operation with
// a random key of the same length, judges what is set and fed, and says how much comes out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "keystore/daemon/message.h"
#include "keystore/daemon/remote_key.h"
#include "keystore/symmetric_operation.h"

namespace vhsm::keystore {

class RemoteSymmetricOperation final : public SymmetricOperation {
 public:
  static Result<std::unique_ptr<SymmetricOperation>> create(const SymmetricAlgorithm& algorithm,
                                                            std::shared_ptr<RemoteContext> context);
  RemoteSymmetricOperation(const SymmetricAlgorithm& algorithm,
                           std::unique_ptr<SymmetricOperation> shadow,
                           std::shared_ptr<RemoteContext> context) noexcept
      : algorithm_(algorithm), context_(std::move(context)) {
    state_.shadow = std::move(shadow);
  }

  Status set_params(const OSSL_PARAM params[]) override;
  Status get_params(OSSL_PARAM params[]) const override;
  Status start(const SymmetricStart& start) override;
  Result<std::size_t> update(ByteView in, std::span<std::uint8_t> out) override;
  Result<std::size_t> finish(std::span<std::uint8_t> out) override;
  Result<std::unique_ptr<SymmetricOperation>> clone() const override;

 private:
  using Bytes = std::vector<std::uint8_t>;

  /// Where an operation is. What may be the application's plaintext is wiped at the end (Message).
  struct State {
    std::unique_ptr<SymmetricOperation> shadow;
    WireParams params;
    SymmetricKeyPtr key;
    bool forwards = true;
    Bytes iv;              ///< as it was started
    Bytes chain;           ///< CBC: the last block of ciphertext
    Bytes associated;      ///< data that is only authenticated
    Message text;          ///< MAC, GCM: all that was fed, for the end
    Message held;          ///< fed, but not a whole block yet
    std::size_t done = 0;  ///< bytes of output
    Bytes tag;             ///< of an encryption that is finished
  };

  [[nodiscard]] bool is_here() const noexcept;
  [[nodiscard]] bool pads() const;
  Status keep(ByteView in);
  [[nodiscard]] SymmetricStep position() const;
  Result<Message> ask(const SymmetricStep& step, ByteView in, std::size_t capacity) const;
  Result<std::size_t> update_cipher(ByteView in, std::span<std::uint8_t> out);
  Result<std::size_t> transform(ByteView in, std::span<std::uint8_t> out);
  Result<std::size_t> wrap(ByteView in, std::span<std::uint8_t> out);
  Result<std::size_t> finish_cipher(std::span<std::uint8_t> out);
  Result<std::size_t> ask_for_end(ByteView in, std::span<std::uint8_t> out);
  Status finish_gcm();
  bool answer(OSSL_PARAM& param) const;

  const SymmetricAlgorithm& algorithm_;
  std::shared_ptr<RemoteContext> context_;
  State state_;
};

}  // namespace vhsm::keystore
