// SPDX-License-Identifier: Apache-2.0
#include "provider/store_loader.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/store.h>

#include <string>

#include "provider/objects.h"
#include "provider/provider.h"

namespace vhsm::provider {
namespace {

using keystore::ObjectType;

constexpr OSSL_PARAM kSettable[] = {
    {OSSL_STORE_PARAM_EXPECT, OSSL_PARAM_INTEGER, nullptr, 0, OSSL_PARAM_UNMODIFIED},
    {nullptr, 0, nullptr, 0, 0},
};

/// @errors when `entry` lacks what the URI names by type=.
Status check_type(const keystore::KeyUri& uri, const keystore::Entry& entry) {
  if (!uri.type.has_value()) return {};
  switch (*uri.type) {
    case ObjectType::kPrivate:
      if (entry.key != nullptr && entry.key->has_private()) return {};
      return fail(Errc::kNoPrivateKey, "there is no private key", uri.name.uri());
    case ObjectType::kPublic:
      if (entry.key != nullptr && entry.key->has_public()) return {};
      return fail(Errc::kMissing, "there is no key", uri.name.uri());
    case ObjectType::kCertificate:
      if (!entry.certificates.empty()) return {};
      return fail(Errc::kMissing, "there is no certificate beside the key", uri.name.uri());
    case ObjectType::kSecret: break;
  }
  return fail(Errc::kUnsupported, "secrets are no objects of OpenSSL's", uri.name.uri());
}

}  // namespace

Result<std::unique_ptr<StoreLoader>> StoreLoader::open(Provider& provider, std::string_view uri,
                                                       const OSSL_PARAM params[]) {
  auto parsed = VHSM_TRY(keystore::KeyUri::parse(uri, provider.settings().kbs_path));
  if (parsed.type == ObjectType::kSecret) VHSM_TRY(check_type(parsed, {}));
  auto entry = VHSM_TRY(provider.keystore().open(parsed));
  VHSM_TRY(check_type(parsed, entry));
  std::unique_ptr<StoreLoader> loader(
      new StoreLoader(provider, std::move(parsed), std::move(entry)));
  VHSM_TRY(loader->set_params(params));
  return loader;
}

const ossl::Core& StoreLoader::core() const noexcept { return provider_->core(); }

const OSSL_PARAM* StoreLoader::settable_params() noexcept { return kSettable; }

Status StoreLoader::set_params(const OSSL_PARAM params[]) {
  const OSSL_PARAM* expect =
      params != nullptr ? OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT) : nullptr;
  if (expect == nullptr || OSSL_PARAM_get_int(expect, &expect_) == 1) return {};
  return fail(Errc::kInvalidArgument, "parameter is not an integer", OSSL_STORE_PARAM_EXPECT);
}

bool StoreLoader::wants(ObjectType type, int info) const noexcept {
  if (uri_.type.has_value()) return uri_.type == type;
  const bool anything = expect_ == 0 && type != ObjectType::kPublic;
  return anything || expect_ == info;
}

bool StoreLoader::wants_key() const noexcept {
  return entry_.key != nullptr && (wants(ObjectType::kPrivate, OSSL_STORE_INFO_PKEY) ||
                                   wants(ObjectType::kPublic, OSSL_STORE_INFO_PUBKEY));
}

bool StoreLoader::wants_certificates() const noexcept {
  return wants(ObjectType::kCertificate, OSSL_STORE_INFO_CERT);
}

bool StoreLoader::eof() const noexcept {
  if (failed_) return true;
  const bool key_left = wants_key() && !key_told_;
  const bool certificate_left =
      wants_certificates() && certificates_told_ < entry_.certificates.size();
  return !key_left && !certificate_left;
}

Result<std::unique_ptr<KeyHandle>> StoreLoader::wanted_key() const {
  auto handle = std::make_unique<KeyHandle>(*provider_, entry_.key->type(), entry_.key);
  if (wants(ObjectType::kPublic, OSSL_STORE_INFO_PUBKEY)) return handle->public_only();
  return handle;
}

Result<bool> StoreLoader::tell_next(OSSL_CALLBACK* tell, void* arg) {
  if (wants_key() && !key_told_) {
    const auto handle = VHSM_TRY(wanted_key());
    key_told_ = true;
    return tell_key(*handle, tell, arg);
  }
  return tell_certificate(entry_.certificates[certificates_told_++], tell, arg);
}

Result<bool> StoreLoader::load(OSSL_CALLBACK* tell, void* arg) {
  if (eof()) return false;
  failed_ = true;  // until proven otherwise: a caller that loops until eof must come to an end
  const bool told = VHSM_TRY(tell_next(tell, arg));
  failed_ = !told;
  return told;
}

}  // namespace vhsm::provider
