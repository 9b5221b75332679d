// SPDX-License-Identifier: Apache-2.0
#include "keystore/stand_in_key.h"

#include <openssl/core_dispatch.h>

#include <utility>

namespace vhsm::keystore {

StandInKey::StandInKey(PublicHalf half, KeyPtr public_key, const KeyUri& uri,
                       std::shared_ptr<Shelf> shelf,
                       std::chrono::milliseconds fetch_timeout) noexcept
    : Key(std::move(half), uri),
      public_key_(std::move(public_key)),
      shelf_(std::move(shelf)),
      fetch_timeout_(fetch_timeout) {}

Result<KeyPtr> StandInKey::resolve(std::chrono::steady_clock::time_point deadline) const {
  // Once it is on the shelf this is a look-up; so nothing is cached here, and nothing goes stale.
  const Entry entry = VHSM_TRY(shelf_->open(*uri(), deadline));
  if (entry.key == nullptr) {
    return fail(Errc::kNoPrivateKey, "the KBS holds only certificates under this name",
                uri()->name.uri());
  }
  if (!entry.key->matches(*this, OSSL_KEYMGMT_SELECT_KEYPAIR)) {
    return fail(Errc::kBadFormat, "the KBS holds another key than this stand-in was made for",
                uri()->name.uri());
  }
  return entry.key;
}

Status StandInKey::validate(Selection selection, bool quick) const {
  if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0) {
    return public_key_->validate(selection, quick);
  }
  const KeyPtr real = VHSM_TRY(resolve(std::chrono::steady_clock::now() + fetch_timeout_));
  return real->validate(selection, quick);
}

Result<std::unique_ptr<Operation>> StandInKey::begin(const OperationRequest& request) const {
  const bool is_public = request.kind == OperationKind::kVerify ||
                         request.kind == OperationKind::kVerifyMessage ||
                         request.kind == OperationKind::kEncrypt;
  if (is_public) return public_key_->begin(request);
  const KeyPtr real = VHSM_TRY(resolve(std::chrono::steady_clock::now() + fetch_timeout_));
  return real->begin(request);
}

}  // namespace vhsm::keystore
