// SPDX-License-Identifier: Apache-2.0
//
// One KBS: both services and what they share. Knows no HTTP.
#pragma once

#include <memory>
#include <optional>

#include "base/result.h"
#include "kbs/attestation_service.h"
#include "kbs/config.h"
#include "kbs/journal.h"
#include "kbs/provisioning_service.h"
#include "kbs/sessions.h"
#include "kbs/store.h"
#include "kbs/token_authority.h"

namespace vhsm::kbs {

/// Thread-safe once open.
class Kbs {
 public:
  /// @errors kIo, kBadFormat, kWrongState: whatever `config` names and cannot be used.
  static Result<std::unique_ptr<Kbs>> open(Config config, Clock now);

  [[nodiscard]] const Config& config() const noexcept { return config_; }
  [[nodiscard]] Store& store() noexcept { return store_; }
  [[nodiscard]] const AttestationService& attestation() const { return *attestation_; }
  [[nodiscard]] const ProvisioningService& provisioning() const { return *provisioning_; }

 private:
  Kbs(Config config, Store store, const Clock& now);
  Status start(const Clock& now);

  Config config_;
  Store store_;
  Sessions sessions_;
  std::optional<TokenAuthority> tokens_;
  std::optional<Journal> journal_;
  std::optional<AttestationService> attestation_;
  std::optional<ProvisioningService> provisioning_;
};

}  // namespace vhsm::kbs
