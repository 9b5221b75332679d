// SPDX-License-Identifier: Apache-2.0
//
// The secret half of a key of this process. Its lasting form is ciphertext in ordinary memory, made
// once when the key comes, and wiped when it is taken back; in the clear, as an inner EVP_PKEY with
// its idle contexts, it is only while it is in the hot set.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

#include "base/result.h"
#include "keystore/hot_set.h"
#include "keystore/inner_context.h"
#include "keystore/public_half.h"
#include "keystore/shield.h"

namespace vhsm::keystore {

/// Thread-safe. Its lock is held inside scopes only.
class PrivateHalf final : public HotMember {
 public:
  /// Takes over `pair`, which is hot at first: a key that has just come is likely to be used.
  /// @errors kMemoryLimit, kCrypto. Outside a scope.
  static Result<std::unique_ptr<PrivateHalf>> hold(HeldPKey pair);
  ~PrivateHalf() override;
  PrivateHalf(const PrivateHalf&) = delete;
  PrivateHalf& operator=(const PrivateHalf&) = delete;

  /// The pair, unshielded if need be, and then compared with `half`. Whoever has it keeps it from
  /// being freed when it is evicted. Inside a scope.
  /// @errors kDamaged, kMemoryLimit, kCrypto.
  Result<HeldPKey> use(const PublicHalf& half);

  /// As ContextPool's.
  InnerContextPtr take(OperationKind kind, std::string_view digest,
                       std::string_view settings) noexcept;
  /// As ContextPool's; frees the context of a key that is shielded by now.
  void put(InnerContextPtr context) noexcept;

  /// Forgets the key in every form; only operations under way still have it. Outside a scope.
  void wipe() noexcept;

  [[nodiscard]] std::span<const std::uint8_t> sealed() const noexcept { return sealed_; }

 private:
  explicit PrivateHalf(Sealed sealed) noexcept;

  bool shield() noexcept override;
  Result<HeldPKey> unshielded(const PublicHalf& half) const;
  void keep(HeldPKey pair) noexcept;
  void clear() noexcept;

  Sealed sealed_;     ///< written once more, by wipe(): then it is empty
  std::mutex mutex_;  ///< of both
  HeldPKey pair_;     ///< null when shielded
  ContextPool idle_;
};

}  // namespace vhsm::keystore
