// SPDX-License-Identifier: Apache-2.0
#include "keystore/daemon/remote_key.h"

#include <openssl/core_dispatch.h>

#include <utility>

#include "keystore/daemon/remote_operation.h"
#include "keystore/local_key.h"

namespace vhsm::keystore {
namespace {

/// The public operation that takes the same parameters.
OperationKind counterpart(OperationKind kind) noexcept {
  switch (kind) {
    case OperationKind::kSign: return OperationKind::kVerify;
    case OperationKind::kSignMessage: return OperationKind::kVerifyMessage;
    case OperationKind::kDecrypt: return OperationKind::kEncrypt;
    case OperationKind::kDecapsulate:
    case OperationKind::kAuthEncapsulate: return OperationKind::kEncapsulate;
    default: return kind;
  }
}

}  // namespace

Result<std::shared_ptr<RemoteKey>> RemoteKey::make(std::span<const std::uint8_t> public_key_info,
                                                   const KeyUri& uri, Keeping keeping,
                                                   std::shared_ptr<RemoteContext> context) {
  auto half = VHSM_TRY(PublicHalf::from_key_info(public_key_info));
  auto same_half = VHSM_TRY(PublicHalf::from_key_info(public_key_info));
  return std::make_shared<RemoteKey>(
      std::move(half), std::make_shared<LocalKey>(std::move(same_half), nullptr),
      std::vector<std::uint8_t>(public_key_info.begin(), public_key_info.end()),
      KeyUri{uri.name, std::nullopt, uri.version}, keeping, std::move(context));
}

/// A derivation has no public counterpart: any other pair of the same group takes its place.
Result<std::unique_ptr<Operation>> RemoteKey::shadow(OperationKind kind,
                                                     std::string_view digest) const {
  if (kind != OperationKind::kDerive) return public_key_->begin({counterpart(kind), digest});
  const auto generator = VHSM_TRY(Generator::create(type(), OSSL_KEYMGMT_SELECT_KEYPAIR));
  VHSM_TRY(generator->set_template(*public_key_));
  const KeyPtr other = VHSM_TRY(generator->generate());
  return other->begin({kind, digest});
}

Result<std::unique_ptr<Operation>> RemoteKey::begin(const OperationRequest& request) const {
  if (!needs_private(request.kind)) return public_key_->begin(request);
  auto beside = VHSM_TRY(shadow(request.kind, request.digest));
  auto operation = std::make_unique<RemoteOperation>(
      shared_from_this(), request.kind, std::string(request.digest), std::move(beside));
  if (request.peer != nullptr) VHSM_TRY(operation->remember_peer(*request.peer));
  VHSM_TRY(operation->set_params(request.params));
  return std::unique_ptr<Operation>(std::move(operation));
}

/// vhsmd has compared the halves when the key came; it is asked whether it is still there.
Status RemoteKey::validate(Selection selection, bool quick) const {
  VHSM_TRY(public_key_->validate(selection & ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY, quick));
  if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0) return {};
  const Request request{.ask = Ask::kOpen,
                        .name = uri()->name.path(),
                        .version = uri()->version.value_or(0),
                        .public_key = public_key_info_,
                        .wait = context_->patience};
  [[maybe_unused]] const Reply reply =
      VHSM_TRY(context_->channel.ask(request, context_->patience * 2));
  return {};
}

}  // namespace vhsm::keystore
