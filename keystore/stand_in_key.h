// SPDX-License-Identifier: Apache-2.0
//
// The key of a PEM stand-in: its public half is in the file, its private half is fetched when the
// stand-in is loaded or, if that fails, from the first private operation on, beside the caller.
#pragma once

#include <chrono>
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

  KeyPtr public_key_;
  std::shared_ptr<Shelf> shelf_;
  std::shared_ptr<Retrier> retrier_;
};

}  // namespace vhsm::keystore
