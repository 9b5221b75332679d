// SPDX-License-Identifier: Apache-2.0
#include "keystore/stand_in_key.h"

#include <openssl/core_dispatch.h>

#include <utility>

namespace vhsm::keystore {

StandInKey::StandInKey(PublicHalf half, KeyPtr public_key, const KeyUri& uri,
                       std::shared_ptr<Shelf> shelf, std::shared_ptr<Retrier> retrier) noexcept
    : Key(std::move(half), uri),
      public_key_(std::move(public_key)),
      shelf_(std::move(shelf)),
      retrier_(std::move(retrier)) {}

Result<KeyPtr> StandInKey::checked(const Entry& entry) const {
  if (entry.key == nullptr) {
    return fail(Errc::kNoPrivateKey, "the KBS holds only certificates under this name",
                uri()->name.uri());
  }
  if (!entry.key->matches(*this, OSSL_KEYMGMT_SELECT_KEYPAIR)) {
    return fail(Errc::kBadFormat, "the KBS holds another key than this stand-in was made for",
                uri()->name.uri());
  }
  proven_.remember(entry.key);
  return entry.key;
}

KeyPtr StandInKey::Proven::get() const noexcept {
  return state_.load(std::memory_order_acquire) == State::kKnown ? key_ : nullptr;
}

void StandInKey::Proven::remember(const KeyPtr& key) noexcept {
  State empty = State::kEmpty;
  if (!state_.compare_exchange_strong(empty, State::kChanging, std::memory_order_relaxed)) return;
  key_ = key;
  state_.store(State::kKnown, std::memory_order_release);
}

Status StandInKey::load(std::chrono::steady_clock::time_point deadline) const {
  const Entry entry = VHSM_TRY(shelf_->open(*uri(), deadline));
  [[maybe_unused]] const KeyPtr key = VHSM_TRY(checked(entry));
  return {};
}

Result<KeyPtr> StandInKey::real() const {
  // One that was taken back is sought like one that never came: it may be released again.
  if (KeyPtr proven = proven_.get(); proven != nullptr && !proven->revoked()) return proven;
  const Entry entry = VHSM_TRY(retrier_->open(*uri()));
  return checked(entry);
}

Status StandInKey::validate(Selection selection, bool quick) const {
  if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0) {
    return public_key_->validate(selection, quick);
  }
  const KeyPtr real = VHSM_TRY(this->real());
  return real->validate(selection, quick);
}

Result<std::unique_ptr<Operation>> StandInKey::begin(const OperationRequest& request) const {
  if (!needs_private(request.kind)) return public_key_->begin(request);
  const KeyPtr real = VHSM_TRY(this->real());
  return real->begin(request);
}

}  // namespace vhsm::keystore
