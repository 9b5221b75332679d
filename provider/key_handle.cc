// SPDX-License-Identifier: Apache-2.0
#include "provider/key_handle.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "provider/ossl/boundary.h"
#include "provider/provider.h"

namespace vhsm::provider {
namespace {

using keystore::KeyPtr;
using keystore::KeyType;

constexpr int kPrivate = OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
constexpr int kKeypair = OSSL_KEYMGMT_SELECT_KEYPAIR;
constexpr int kPublic = OSSL_KEYMGMT_SELECT_PUBLIC_KEY | OSSL_KEYMGMT_SELECT_ALL_PARAMETERS;

bool has_domain_parameters(const KeyType& type) noexcept { return &type == &keystore::kEc; }

/// Hosts set the private bit for public keys too, so only the params themselves tell.
bool brings_private(const KeyType& type, const OSSL_PARAM params[]) noexcept {
  return std::ranges::any_of(type.private_params, [&](const char* name) {
    return OSSL_PARAM_locate_const(params, name) != nullptr;
  });
}

/// A key of a type without domain parameters, from its encoded public half.
Result<KeyPtr> public_key_of(const KeyType& type, const OSSL_PARAM& encoded) {
  std::array<OSSL_PARAM, 2> params{encoded, OSSL_PARAM_construct_end()};
  params[0].key = OSSL_PKEY_PARAM_PUB_KEY;
  return keystore::import_public(type, kPublic, params.data());
}

/// libssl asks a blank X25519 key for its sizes before it gives it a public half.
bool answer_sizes(const KeyType& type, OSSL_PARAM params[]) {
  if (!type.is_own_group()) return false;
  const auto answer = [params](const char* name, int value) {
    OSSL_PARAM* param = OSSL_PARAM_locate(params, name);
    return param == nullptr || OSSL_PARAM_set_int(param, value) == 1;
  };
  return answer(OSSL_PKEY_PARAM_BITS, type.sizes.bits) &&
         answer(OSSL_PKEY_PARAM_SECURITY_BITS, type.sizes.security_bits) &&
         answer(OSSL_PKEY_PARAM_MAX_SIZE, type.sizes.max_bytes);
}

}  // namespace

const ossl::Core& KeyHandle::core() const noexcept { return provider_->core(); }

std::string KeyHandle::name() const {
  const keystore::KeyUri* uri = key_ != nullptr ? key_->uri() : nullptr;
  return uri != nullptr ? uri->name.uri() : std::string("ephemeral key");
}

const KeyHandle* KeyHandle::from_reference(const void* reference, std::size_t size,
                                           const KeyType& type) noexcept {
  // NOLINTNEXTLINE(bugprone-sizeof-expression): the reference is a pointer
  if (reference == nullptr || size != sizeof(const KeyHandle*)) return nullptr;
  const KeyHandle* handle = *static_cast<const KeyHandle* const*>(reference);
  return handle != nullptr && handle->type_ == &type ? handle : nullptr;
}

Result<std::unique_ptr<KeyHandle>> KeyHandle::share() const {
  return std::make_unique<KeyHandle>(*provider_, *type_, key_);
}

Result<std::unique_ptr<KeyHandle>> KeyHandle::public_only() const {
  if (key_ == nullptr) return fail(Errc::kWrongState, "the key is empty");
  const auto params = VHSM_TRY(key_->export_public(kPublic));
  auto key = VHSM_TRY(keystore::import_public(*type_, kPublic, params.get()));
  return std::make_unique<KeyHandle>(*provider_, *type_, std::move(key));
}

Result<std::unique_ptr<KeyHandle>> KeyHandle::duplicate(Selection selection) const {
  const bool whole =
      key_ == nullptr || (selection & kPrivate) != 0 || (!held() && (selection & kKeypair) != 0);
  if (whole) return share();
  if ((selection & kKeypair) != 0) return public_only();
  if (!has_domain_parameters(*type_)) return std::make_unique<KeyHandle>(*provider_, *type_);
  const auto params = VHSM_TRY(key_->export_public(selection));
  auto key = VHSM_TRY(keystore::import_public(*type_, selection, params.get()));
  return std::make_unique<KeyHandle>(*provider_, *type_, std::move(key));
}

bool KeyHandle::has(Selection selection) const noexcept {
  const bool domain = (selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) != 0;
  if (domain && has_domain_parameters(*type_) && key_ == nullptr) return false;
  if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 &&
      (key_ == nullptr || !key_->has_public())) {
    return false;
  }
  return (selection & kPrivate) == 0 || held();
}

bool KeyHandle::matches(const KeyHandle& other, Selection selection) const noexcept {
  if (type_ != other.type_ || key_ == nullptr || other.key_ == nullptr) return false;
  return key_->matches(*other.key_, selection);
}

Status KeyHandle::validate(Selection selection, bool quick) const {
  if (key_ == nullptr) return fail(Errc::kWrongState, "the key is empty");
  if ((selection & kPrivate) != 0 && !held()) {
    return fail(Errc::kNoPrivateKey, "the key has no private part", name());
  }
  return key_->validate(selection, quick);
}

Result<bool> KeyHandle::import(Selection selection, const OSSL_PARAM params[]) {
  if (params == nullptr || held()) return false;
  const bool pair = brings_private(*type_, params);
  if (pair && !provider_->settings().import_private) return false;
  // Hosts that ask for the private part of a public key mean the public part.
  if ((selection & kPrivate) != 0) selection |= OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
  auto key = pair ? keystore::import_pair(*type_, params, provider_->metrics())
                  : keystore::import_public(*type_, selection & ~kPrivate, params);
  if (!key.ok() && key.error().code == Errc::kUnsupported) return false;
  key_ = VHSM_TRY(std::move(key));
  return true;
}

bool KeyHandle::may_export(Selection selection) const noexcept {
  // As in the default provider, a point comes with its curve or not at all.
  const bool bare_point = has_domain_parameters(*type_) && (selection & kKeypair) != 0 &&
                          (selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) == 0;
  if (bare_point) return false;
  return key_ != nullptr && ((selection & kPrivate) == 0 || !held());
}

Result<bool> KeyHandle::export_to(Selection selection, OSSL_CALLBACK* tell, void* arg) const {
  const auto params = VHSM_TRY(key_->export_public(selection & ~kPrivate));
  return tell(params.get(), arg) == 1;
}

Result<bool> KeyHandle::get_params(OSSL_PARAM params[]) const {
  if (key_ == nullptr) return answer_sizes(*type_, params);
  VHSM_TRY(key_->get_params(params));
  return true;
}

Status KeyHandle::set_params(const OSSL_PARAM params[]) {
  const OSSL_PARAM* encoded =
      params != nullptr ? OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY)
                        : nullptr;
  if (encoded == nullptr) return {};
  if (held()) return fail(Errc::kNotExportable, "the public half of a held key is fixed", name());
  if (key_ == nullptr) {
    if (has_domain_parameters(*type_)) return fail(Errc::kWrongState, "the key has no group");
    key_ = VHSM_TRY(public_key_of(*type_, *encoded));
    return {};
  }
  const auto bytes = VHSM_TRY(ossl::octets(*encoded));
  key_ = VHSM_TRY(key_->with_public(bytes));
  return {};
}

}  // namespace vhsm::provider
