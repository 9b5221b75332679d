// SPDX-License-Identifier: Apache-2.0
//
// One KBS.
#include "kbs/kbs.h"

#include <utility>

namespace vhsm::kbs {

Kbs::Kbs(Config config, Store store, const Clock& now)
    : config_(std::move(config)),
      store_(std::move(store)),
      sessions_(config_.session_lifetime, config_.max_sessions, now) {}

Status Kbs::start(const Clock& now) {
  auto tokens = VHSM_TRY(TokenAuthority::open(config_, now));
  tokens_.emplace(std::move(tokens));
  auto journal = VHSM_TRY(Journal::open(config_, store_));
  journal_.emplace(std::move(journal));
  auto attestation = VHSM_TRY(AttestationService::open(config_, sessions_, *tokens_, *journal_));
  attestation_.emplace(std::move(attestation));
  provisioning_.emplace(config_, store_, sessions_, *tokens_, *journal_);
  return {};
}

Result<std::unique_ptr<Kbs>> Kbs::open(Config config, Clock now) {
  Store store = VHSM_TRY(Store::open(config.database));
  std::unique_ptr<Kbs> kbs(new Kbs(std::move(config), std::move(store), now));
  VHSM_TRY(kbs->start(now));
  return kbs;
}

}  // namespace vhsm::kbs
