// SPDX-License-Identifier: Apache-2.0
#include "provider/operation_context.h"

#include <utility>

#include "provider/provider.h"

namespace vhsm::provider {
namespace {

Result<keystore::KeyPtr> key_of(const KeyHandle* peer) {
  if (peer != nullptr && peer->key() != nullptr) return peer->key();
  return fail(Errc::kInvalidArgument, "the peer has no key");
}

Error not_begun() { return fail(Errc::kWrongState, "the operation is not initialised"); }

}  // namespace

const ossl::Core& OperationContext::core() const noexcept { return provider_->core(); }

Result<std::unique_ptr<OperationContext>> OperationContext::clone() const {
  auto copy = std::make_unique<OperationContext>(*provider_);
  VHSM_TRY(copy->copy_from(*this));
  return copy;
}

Status OperationContext::copy_from(const OperationContext& other) {
  key_ = other.key_;
  if (other.operation_ != nullptr) operation_ = VHSM_TRY(other.operation_->clone());
  return {};
}

Status OperationContext::begin(keystore::OperationKind kind, const KeyHandle* handle,
                               const OSSL_PARAM params[]) {
  return begin_request({.kind = kind, .digest = {}, .params = params}, handle);
}

Status OperationContext::begin_with(keystore::OperationKind kind, const KeyHandle* handle,
                                    const KeyHandle* peer, const OSSL_PARAM params[]) {
  const keystore::KeyPtr other = VHSM_TRY(key_of(peer));
  return begin_request({.kind = kind, .digest = {}, .params = params, .peer = other.get()}, handle);
}

Status OperationContext::begin_request(keystore::OperationRequest request,
                                       const KeyHandle* handle) {
  if (handle != nullptr) key_ = handle->key();
  operation_.reset();
  if (key_ == nullptr) return fail(Errc::kNoPrivateKey, "the operation has no key");
  operation_ = VHSM_TRY(key_->begin(request));
  return {};
}

Result<std::size_t> OperationContext::run(std::span<const std::uint8_t> in,
                                          std::span<std::uint8_t> out) {
  if (operation_ == nullptr) return not_begun();
  return operation_->run(in, out);
}

Result<bool> OperationContext::verify(std::span<const std::uint8_t> in,
                                      std::span<const std::uint8_t> signature) {
  if (operation_ == nullptr) return not_begun();
  return operation_->verify(in, signature);
}

Status OperationContext::set_peer(const KeyHandle* peer) {
  if (operation_ == nullptr) return not_begun();
  const keystore::KeyPtr other = VHSM_TRY(key_of(peer));
  return operation_->set_peer(*other);
}

Result<keystore::Encapsulated> OperationContext::encapsulate(std::span<std::uint8_t> wrapped,
                                                             std::span<std::uint8_t> secret) {
  if (operation_ == nullptr) return not_begun();
  return operation_->encapsulate(wrapped, secret);
}

Status OperationContext::set_params(const OSSL_PARAM params[]) {
  if (params == nullptr) return {};
  if (operation_ == nullptr) return not_begun();
  if (operation_->settable_params() == nullptr) {
    return fail(Errc::kUnsupported, "this operation takes no parameters");
  }
  return operation_->set_params(params);
}

Status OperationContext::get_params(OSSL_PARAM params[]) const {
  if (params == nullptr) return {};
  if (operation_ == nullptr) return not_begun();
  return operation_->get_params(params);
}

const OSSL_PARAM* OperationContext::settable_params() const noexcept {
  return operation_ != nullptr ? operation_->settable_params() : nullptr;
}

const OSSL_PARAM* OperationContext::gettable_params() const noexcept {
  return operation_ != nullptr ? operation_->gettable_params() : nullptr;
}

}  // namespace vhsm::provider
