// SPDX-License-Identifier: Apache-2.0
//
// The key of a PEM stand-in: its public half is in the file, its private half is fetched when the
// stand-in is loaded or, if that fails, from the first private operation on, beside the caller.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "keystore/key.h"
#include "keystore/retrier.h"
#include "keystore/shelf.h"

namespace vhsm::keystore {

class StandInKey final : public Key {
 public:
  /// @param public_key  the same public half as a key of its own, for public operations.
  StandInKey(PublicHalf half, KeyPtr public_key, const KeyUri& uri, std::shared_ptr<Shelf> shelf,
             std::shared_ptr<Retrier> retrier) noexcept;

  [[nodiscard]] bool has_private() const noexcept override { return true; }
  Status validate(Selection selection, bool quick) const override;
  Result<std::unique_ptr<Operation>> begin(const OperationRequest& request) const override;

  /// Fetches the private half.
  /// @errors as Keystore::open(); kBadFormat when the KBS holds another key under this name.
  Status load(std::chrono::steady_clock::time_point deadline) const;

 private:
  [[nodiscard]] Result<KeyPtr> real() const;
  [[nodiscard]] Result<KeyPtr> checked(const Entry& entry) const;

  /// The key that was found to be the one that this stands for. It is looked up and compared once:
  /// each handshake asks twice. Lock-free, since a fork may find it
  /// in any state.
  class Proven {
   public:
    /// @return null until there is one.
    [[nodiscard]] KeyPtr get() const noexcept;
    void remember(const KeyPtr& key) noexcept;

   private:
    enum class State : std::uint8_t { kEmpty, kChanging, kKnown };
    std::atomic<State> state_{State::kEmpty};
    KeyPtr key_;  ///< written once, before kKnown
  };

  KeyPtr public_key_;
  mutable Proven proven_;
  std::shared_ptr<Shelf> shelf_;
  std::shared_ptr<Retrier> retrier_;
};

}  // namespace vhsm::keystore
