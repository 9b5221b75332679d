// SPDX-License-Identifier: Apache-2.0
//
// A key that vhsmd holds: its public half is here, its private half is not.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/metrics.h"
#include "keystore/daemon/channel.h"
#include "keystore/key.h"

namespace vhsm::keystore {

/// What all keys of one vhsmd share.
struct RemoteContext {
  explicit RemoteContext(std::string path, std::chrono::milliseconds answer_wait,
                         std::shared_ptr<Metrics> counters)
      : channel(std::move(path)), patience(answer_wait), metrics(std::move(counters)) {}

  Channel channel;
  std::chrono::milliseconds patience;  ///< for the answer to an operation
  std::shared_ptr<Metrics> metrics;
};

class RemoteKey final : public Key, public std::enable_shared_from_this<RemoteKey> {
 public:
  /// @param public_key  the same public half as a key of its own, for public operations.
  RemoteKey(PublicHalf half, KeyPtr public_key, std::vector<std::uint8_t> public_key_info,
            const KeyUri& uri, Keeping keeping, std::shared_ptr<RemoteContext> context) noexcept
      : Key(std::move(half), uri, keeping),
        public_key_(std::move(public_key)),
        public_key_info_(std::move(public_key_info)),
        context_(std::move(context)) {}

  /// @errors kBadFormat, kUnsupported.
  static Result<std::shared_ptr<RemoteKey>> make(std::span<const std::uint8_t> public_key_info,
                                                 const KeyUri& uri, Keeping keeping,
                                                 std::shared_ptr<RemoteContext> context);

  [[nodiscard]] bool has_private() const noexcept override { return true; }
  Status validate(Selection selection, bool quick) const override;
  Result<std::unique_ptr<Operation>> begin(const OperationRequest& request) const override;

  [[nodiscard]] ByteView public_key_info() const noexcept { return public_key_info_; }
  [[nodiscard]] RemoteContext& context() const noexcept { return *context_; }

 private:
  [[nodiscard]] Result<std::unique_ptr<Operation>> shadow(OperationKind kind,
                                                          std::string_view digest) const;

  KeyPtr public_key_;
  std::vector<std::uint8_t> public_key_info_;
  std::shared_ptr<RemoteContext> context_;
};

}  // namespace vhsm::keystore
