// SPDX-License-Identifier: Apache-2.0
//
// The keys of a sealed folder's slots: what the platform derives, a KBS releases, an owner brings.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "keystore/key_source.h"
#include "keystore/sealed/folder.h"
#include "snp/platform.h"

namespace vhsm {

/// Thread-safe, once it is made.
class PlatformSlotKeys final : public keystore::sealed::SlotKeys {
 public:
  /// @param platform, source  null where there is none.
  /// @param kbs_key  name of the resource that may open a slot; empty: none may. What the file says
  ///                 of it does not count: whoever writes it could name a resource that they know.
  PlatformSlotKeys(std::shared_ptr<snp::Platform> platform,
                   std::shared_ptr<keystore::KeySource> source, std::string kbs_key) noexcept
      : platform_(std::move(platform)), source_(std::move(source)), kbs_key_(std::move(kbs_key)) {}

  /// Before anybody else has this.
  void set_recovery_key(SecretBytes key) noexcept { recovery_key_ = std::move(key); }

  Result<SecretBytes> key_for(const keystore::sealed::SlotTerms& terms,
                              TimePoint deadline) override;

  Result<keystore::sealed::NewSlot> platform_slot(TimePoint deadline) override;
  /// @errors as key_for().
  Result<keystore::sealed::NewSlot> kbs_slot(TimePoint deadline);

 private:
  Result<SecretBytes> derive(const keystore::sealed::Bytes& terms, TimePoint deadline);
  Result<SecretBytes> release(const keystore::sealed::Bytes& terms, TimePoint deadline);
  Result<SecretBytes> recover() const;

  const std::shared_ptr<snp::Platform> platform_;
  const std::shared_ptr<keystore::KeySource> source_;
  const std::string kbs_key_;
  std::optional<SecretBytes> recovery_key_;
};

}  // namespace vhsm
