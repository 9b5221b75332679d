// SPDX-License-Identifier: Apache-2.0
#include "provider/symmetric_context.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <string_view>
#include <utility>

#include "provider/provider.h"

namespace vhsm::provider {

using keystore::SymmetricAlgorithm;
using keystore::SymmetricKind;

Result<std::unique_ptr<SymmetricContext>> SymmetricContext::create(
    Provider& provider, const SymmetricAlgorithm& algorithm) {
  auto operation = VHSM_TRY(provider.keystore().make_operation(algorithm));
  return std::unique_ptr<SymmetricContext>(
      new SymmetricContext(provider, algorithm, std::move(operation)));
}

const ossl::Core& SymmetricContext::core() const noexcept { return provider_->core(); }

bool SymmetricContext::is_cipher() const noexcept {
  return algorithm_->kind == SymmetricKind::kCipher;
}

Result<std::unique_ptr<SymmetricContext>> SymmetricContext::clone() const {
  auto operation = VHSM_TRY(operation_->clone());
  std::unique_ptr<SymmetricContext> copy(
      new SymmetricContext(*provider_, *algorithm_, std::move(operation)));
  copy->new_key_ = new_key_;
  copy->forwards_ = forwards_;
  copy->begun_ = begun_;
  return copy;
}

/// @return the other parameters.
Result<std::vector<OSSL_PARAM>> SymmetricContext::take_key(const OSSL_PARAM params[]) {
  std::vector<OSSL_PARAM> others;
  for (const OSSL_PARAM* p = params; p != nullptr && p->key != nullptr; ++p) {
    if (std::string_view(p->key) == kSecretUriParam) {
      new_key_ = VHSM_TRY(open_secret(*provider_, *p));
    } else {
      others.push_back(*p);
    }
  }
  others.push_back(OSSL_PARAM_construct_end());
  return others;
}

Status SymmetricContext::start(std::span<const std::uint8_t> iv) {
  VHSM_TRY(operation_->start({.key = new_key_, .forwards = forwards_, .iv = iv}));
  new_key_.reset();
  return {};
}

/// A cipher may be set to its direction and IV before it is told its key.
Status SymmetricContext::take_up_key() {
  return is_cipher() && begun_ && new_key_ != nullptr ? start({}) : Status();
}

Status SymmetricContext::set_params(const OSSL_PARAM params[]) {
  const auto others = VHSM_TRY(take_key(params));
  VHSM_TRY(take_up_key());
  return operation_->set_params(others.data());
}

Status SymmetricContext::get_params(OSSL_PARAM params[]) const {
  return params != nullptr ? operation_->get_params(params) : Status();
}

Status SymmetricContext::set_key(const SecretHandle* key, std::string_view param_name) {
  if (key == nullptr) return fail(Errc::kInvalidArgument, "there is no key");
  if (param_name != OSSL_KDF_PARAM_KEY) {
    return fail(Errc::kUnsupported, "a held key can only be the key", param_name);
  }
  new_key_ = key->key();
  return {};
}

Status SymmetricContext::begin(const Begin& begin) {
  const auto others = VHSM_TRY(take_key(begin.params));
  if (begin.key != nullptr) new_key_ = begin.key->key();
  forwards_ = begin.forwards;
  begun_ = true;
  // As the default provider does: a MAC starts with its digest, a tag belongs to a direction.
  if (!is_cipher()) VHSM_TRY(operation_->set_params(others.data()));
  VHSM_TRY(start(begin.iv));
  return is_cipher() ? operation_->set_params(others.data()) : Status();
}

Result<std::size_t> SymmetricContext::update(std::span<const std::uint8_t> in,
                                             std::span<std::uint8_t> out) {
  return operation_->update(in, out);
}

Result<std::size_t> SymmetricContext::finish(std::span<std::uint8_t> out) {
  return operation_->finish(out);
}

Result<std::unique_ptr<SecretHandle>> SymmetricContext::derive_key(const void* provctx,
                                                                   std::size_t bytes,
                                                                   const OSSL_PARAM params[]) {
  if (provctx != provider_) {
    return fail(Errc::kNotExportable, "a derived key stays with the provider that derives it");
  }
  VHSM_TRY(begin({.params = params}));
  auto key = VHSM_TRY(keystore::derive_key(*operation_, bytes));
  return std::make_unique<SecretHandle>(*provider_, std::move(key));
}

Status SymmetricContext::reset() {
  operation_ = VHSM_TRY(provider_->keystore().make_operation(*algorithm_));
  new_key_.reset();
  begun_ = false;
  return {};
}

}  // namespace vhsm::provider
