// SPDX-License-Identifier: Apache-2.0
#include "provider/key_generator.h"

#include <strings.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

#include <string_view>
#include <vector>

#include "provider/provider.h"

namespace vhsm::provider {
namespace {

constexpr const char* kUriParam = "vhsm-uri";

constexpr OSSL_PARAM text(const char* name) {
  return {name, OSSL_PARAM_UTF8_STRING, nullptr, 0, OSSL_PARAM_UNMODIFIED};
}

Status check_own_group(const keystore::KeyType& type, const OSSL_PARAM& group) {
  const char* name = nullptr;
  if (OSSL_PARAM_get_utf8_string_ptr(&group, &name) != 1 || name == nullptr ||
      ::strcasecmp(name, type.name) != 0) {
    return fail(Errc::kInvalidArgument, "the group is not this key type's", type.name);
  }
  return {};
}

/// Whether we read a parameter ourselves, and the inner generator does not.
bool is_ours(const keystore::KeyType& type, std::string_view key) noexcept {
  return key == kUriParam || (type.is_own_group() && key == OSSL_PKEY_PARAM_GROUP_NAME);
}

std::vector<OSSL_PARAM> without_ours(const keystore::KeyType& type, const OSSL_PARAM params[]) {
  std::vector<OSSL_PARAM> rest;
  for (; params->key != nullptr; ++params) {
    if (!is_ours(type, params->key)) rest.push_back(*params);
  }
  rest.push_back(OSSL_PARAM_construct_end());
  return rest;
}

}  // namespace

Result<std::unique_ptr<KeyGenerator>> KeyGenerator::create(Provider& provider,
                                                           const keystore::KeyType& type,
                                                           keystore::Selection selection,
                                                           const OSSL_PARAM params[]) {
  const bool makes_pairs = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0;
  const bool has_parameters = type.signing == keystore::Signing::kDigest;
  const bool blank = !makes_pairs && !has_parameters;
  std::unique_ptr<keystore::Generator> inner;
  if (!blank) inner = VHSM_TRY(keystore::Generator::create(type, selection, provider.metrics()));
  std::unique_ptr<KeyGenerator> generator(
      new KeyGenerator(provider, type, makes_pairs, std::move(inner)));
  VHSM_TRY(generator->set_params(params));
  return generator;
}

const ossl::Core& KeyGenerator::core() const noexcept { return provider_->core(); }

Status KeyGenerator::set_name(const OSSL_PARAM& param) {
  const char* uri = nullptr;
  if (OSSL_PARAM_get_utf8_string_ptr(&param, &uri) != 1 || uri == nullptr) {
    return fail(Errc::kInvalidArgument, "parameter is not a UTF-8 string", kUriParam);
  }
  if (!makes_pairs_) return fail(Errc::kInvalidArgument, "parameters have no name", uri);
  auto parsed = VHSM_TRY(keystore::KeyUri::parse(uri, provider_->settings().kbs_path));
  if (parsed.version.has_value() || parsed.type.has_value()) {
    return fail(Errc::kInvalidArgument, "a new key has neither version= nor type=", uri);
  }
  name_ = std::move(parsed.name);
  return {};
}

Status KeyGenerator::set_params(const OSSL_PARAM params[]) {
  if (params == nullptr) return {};
  const OSSL_PARAM* uri = OSSL_PARAM_locate_const(params, kUriParam);
  const OSSL_PARAM* group = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
  const bool own_group = group != nullptr && type_->is_own_group();
  if (uri != nullptr) VHSM_TRY(set_name(*uri));
  if (own_group) VHSM_TRY(check_own_group(*type_, *group));
  if (generator_ == nullptr) return {};
  if (uri == nullptr && !own_group) return generator_->set_params(params);
  return generator_->set_params(without_ours(*type_, params).data());
}

const OSSL_PARAM* KeyGenerator::settable_params() {
  if (!settable_.empty()) return settable_.data();
  const OSSL_PARAM* inner = generator_ != nullptr ? generator_->settable_params() : nullptr;
  for (; inner != nullptr && inner->key != nullptr; ++inner) settable_.push_back(*inner);
  if (type_->is_own_group()) settable_.push_back(text(OSSL_PKEY_PARAM_GROUP_NAME));
  if (makes_pairs_) settable_.push_back(text(kUriParam));
  settable_.push_back(OSSL_PARAM_construct_end());
  return settable_.data();
}

Status KeyGenerator::set_template(const KeyHandle& handle) {
  if (handle.key() == nullptr || generator_ == nullptr) return {};
  return generator_->set_template(*handle.key());
}

Result<keystore::KeyPtr> KeyGenerator::make_key() {
  if (!name_.has_value()) return generator_->generate();
  return provider_->keystore().generate(*name_, *type_, generator_->settings());
}

Result<std::unique_ptr<KeyHandle>> KeyGenerator::generate() {
  if (generator_ == nullptr) return std::make_unique<KeyHandle>(*provider_, *type_);
  auto key = VHSM_TRY(make_key());
  return std::make_unique<KeyHandle>(*provider_, *type_, std::move(key));
}

}  // namespace vhsm::provider
