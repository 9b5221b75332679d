// SPDX-License-Identifier: Apache-2.0
#include "provider/store_loader.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/store.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "provider/objects.h"
#include "provider/provider.h"

namespace vhsm::provider {
namespace {

using keystore::Entry;
using keystore::KeyFolder;
using keystore::KeyPtr;
using keystore::KeyUri;
using keystore::ObjectType;

constexpr OSSL_PARAM described(const char* name, unsigned type) {
  return {name, type, nullptr, 0, OSSL_PARAM_UNMODIFIED};
}

constexpr OSSL_PARAM kSettable[] = {
    described(OSSL_STORE_PARAM_EXPECT, OSSL_PARAM_INTEGER),
    described(OSSL_STORE_PARAM_SUBJECT, OSSL_PARAM_OCTET_STRING),
    described(OSSL_STORE_PARAM_ISSUER, OSSL_PARAM_OCTET_STRING),
    described(OSSL_STORE_PARAM_SERIAL, OSSL_PARAM_INTEGER),
    described(OSSL_STORE_PARAM_DIGEST, OSSL_PARAM_UTF8_STRING),
    described(OSSL_STORE_PARAM_FINGERPRINT, OSSL_PARAM_OCTET_STRING),
    described(OSSL_STORE_PARAM_ALIAS, OSSL_PARAM_UTF8_STRING),
    described(OSSL_STORE_PARAM_PROPERTIES, OSSL_PARAM_UTF8_STRING),
    described(OSSL_STORE_PARAM_INPUT_TYPE, OSSL_PARAM_UTF8_STRING),
    {nullptr, 0, nullptr, 0, 0},
};

/// @errors when `entry` lacks what the URI names by type=.
Status check_type(const KeyUri& uri, const Entry& entry) {
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

Result<StoreLoader::Target> StoreLoader::find_target(Provider& provider, std::string_view uri) {
  if (KeyFolder::is_named_by(uri)) {
    auto folder = VHSM_TRY(KeyFolder::parse(uri));
    return Target(std::move(folder));
  }
  auto parsed = VHSM_TRY(KeyUri::parse(uri, provider.settings().kbs_path));
  if (parsed.type == ObjectType::kSecret) VHSM_TRY(check_type(parsed, {}));
  auto entry = VHSM_TRY(provider.keystore().open(parsed));
  VHSM_TRY(check_type(parsed, entry));
  return Target(OneKey{std::move(parsed), std::move(entry)});
}

Result<std::unique_ptr<StoreLoader>> StoreLoader::open(Provider& provider, std::string_view uri,
                                                       const OSSL_PARAM params[]) {
  auto target = VHSM_TRY(find_target(provider, uri));
  std::unique_ptr<StoreLoader> loader(new StoreLoader(provider, std::move(target)));
  VHSM_TRY(loader->list());
  VHSM_TRY(loader->set_params(params));
  return loader;
}

Status StoreLoader::remove(Provider& provider, std::string_view uri) {
  const auto parsed = VHSM_TRY(KeyUri::parse(uri, provider.settings().kbs_path));
  if (parsed.type.has_value()) {
    return fail(Errc::kInvalidArgument,
                "a key is deleted as a whole: without type=", parsed.name.uri());
  }
  return provider.keystore().remove(parsed);
}

const ossl::Core& StoreLoader::core() const noexcept { return provider_->core(); }

const OSSL_PARAM* StoreLoader::settable_params() noexcept { return kSettable; }

Status StoreLoader::set_params(const OSSL_PARAM params[]) {
  const Status taken = take_params(params);
  failed_ = failed_ || !taken.ok();
  return taken;
}

Status StoreLoader::take_params(const OSSL_PARAM params[]) {
  if (params == nullptr) return {};
  const OSSL_PARAM* expect = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);
  if (expect != nullptr && OSSL_PARAM_get_int(expect, &expect_) != 1) {
    return fail(Errc::kInvalidArgument, "parameter is not an integer", OSSL_STORE_PARAM_EXPECT);
  }
  const auto wanted = VHSM_TRY(StoreSearch::parse(params));
  return wanted.has_value() ? search(*wanted) : Status();
}

// ----- what there is ----------------------------------------------------------------------------

void StoreLoader::append(Entry entry) {
  if (entry.key != nullptr) objects_.emplace_back(std::move(entry.key));
  for (auto& certificate : entry.certificates) objects_.emplace_back(std::move(certificate));
}

Result<std::vector<KeyUri>> StoreLoader::names_in(const KeyFolder& folder) const {
  auto names = VHSM_TRY(provider_->keystore().names());
  std::erase_if(names, [&](const KeyUri& uri) { return !folder.holds(uri.name); });
  return names;
}

Status StoreLoader::list() {
  if (const auto* one = std::get_if<OneKey>(&target_)) {
    append(one->entry);
    return {};
  }
  auto names = VHSM_TRY(names_in(std::get<KeyFolder>(target_)));
  for (auto& name : names) objects_.emplace_back(std::move(name));
  return {};
}

Status StoreLoader::search(const StoreSearch& search) {
  objects_.clear();
  const auto* one = std::get_if<OneKey>(&target_);
  if (one == nullptr) return search_folder(std::get<KeyFolder>(target_), search);
  if (search.may_be(one->uri.name)) append(search.narrow(one->entry));
  return {};
}

/// An alias means one key: to take the first of several would be to sign with any of them.
Status StoreLoader::search_folder(const KeyFolder& folder, const StoreSearch& search) {
  auto names = VHSM_TRY(names_in(folder));
  // Symmetric keys are no objects that can be searched for.
  std::erase_if(names, [&](const KeyUri& uri) { return uri.type || !search.may_be(uri.name); });
  if (search.alias().has_value() && names.size() > 1) {
    return fail(Errc::kInvalidArgument, "two keys have this alias: give more segments",
                *search.alias() + " (" + names[0].name.uri() + ", " + names[1].name.uri() + ")");
  }
  for (const KeyUri& uri : names) {
    auto entry = VHSM_TRY(provider_->keystore().find(uri));
    if (entry.has_value()) append(search.narrow(*std::move(entry)));
  }
  return {};
}

// ----- what is told -----------------------------------------------------------------------------

bool StoreLoader::wants(ObjectType type, int info) const noexcept {
  const auto* one = std::get_if<OneKey>(&target_);
  if (one != nullptr && one->uri.type.has_value()) return one->uri.type == type;
  const bool anything = expect_ == 0 && type != ObjectType::kPublic;
  return anything || expect_ == info;
}

bool StoreLoader::wants(const Object& object) const noexcept {
  if (std::holds_alternative<KeyUri>(object)) return true;  // whatever is expected behind it
  if (std::holds_alternative<Certificate>(object)) {
    return wants(ObjectType::kCertificate, OSSL_STORE_INFO_CERT);
  }
  return wants(ObjectType::kPrivate, OSSL_STORE_INFO_PKEY) ||
         wants(ObjectType::kPublic, OSSL_STORE_INFO_PUBKEY);
}

std::size_t StoreLoader::next_wanted() const noexcept {
  std::size_t next = next_;
  while (next < objects_.size() && !wants(objects_[next])) ++next;
  return next;
}

bool StoreLoader::eof() const noexcept { return failed_ || next_wanted() == objects_.size(); }

Result<std::unique_ptr<KeyHandle>> StoreLoader::wanted_part(const KeyPtr& key) const {
  auto handle = std::make_unique<KeyHandle>(*provider_, key->type(), key);
  if (wants(ObjectType::kPublic, OSSL_STORE_INFO_PUBKEY)) return handle->public_only();
  return handle;
}

Result<bool> StoreLoader::tell_object(const Object& object, OSSL_CALLBACK* tell, void* arg) const {
  if (const auto* name = std::get_if<KeyUri>(&object)) return tell_name(name->text(), tell, arg);
  if (const auto* der = std::get_if<Certificate>(&object)) return tell_certificate(*der, tell, arg);
  const auto handle = VHSM_TRY(wanted_part(std::get<KeyPtr>(object)));
  return tell_key(*handle, tell, arg);
}

Result<bool> StoreLoader::load(OSSL_CALLBACK* tell, void* arg) {
  if (eof()) return false;
  failed_ = true;  // until proven otherwise: a caller that loops until eof must come to an end
  next_ = next_wanted() + 1;
  const bool told = VHSM_TRY(tell_object(objects_[next_ - 1], tell, arg));
  failed_ = !told;
  return told;
}

}  // namespace vhsm::provider
