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

constexpr OSSL_PARAM kGroupOnly[] = {
    {OSSL_PKEY_PARAM_GROUP_NAME, OSSL_PARAM_UTF8_STRING, nullptr, 0, OSSL_PARAM_UNMODIFIED},
    {nullptr, 0, nullptr, 0, 0},
};

Status check_own_group(const keystore::KeyType& type, const OSSL_PARAM& group) {
  const char* name = nullptr;
  if (OSSL_PARAM_get_utf8_string_ptr(&group, &name) != 1 || name == nullptr ||
      ::strcasecmp(name, type.name) != 0) {
    return fail(Errc::kInvalidArgument, "the group is not this key type's", type.name);
  }
  return {};
}

std::vector<OSSL_PARAM> without(const OSSL_PARAM params[], std::string_view key) {
  std::vector<OSSL_PARAM> rest;
  for (; params->key != nullptr; ++params) {
    if (key != params->key) rest.push_back(*params);
  }
  rest.push_back(OSSL_PARAM_construct_end());
  return rest;
}

}  // namespace

Result<std::unique_ptr<KeyGenerator>> KeyGenerator::create(Provider& provider,
                                                           const keystore::KeyType& type,
                                                           keystore::Selection selection,
                                                           const OSSL_PARAM params[]) {
  const bool has_parameters = type.signing == keystore::Signing::kDigest;
  const bool blank = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0 && !has_parameters;
  std::unique_ptr<keystore::Generator> inner;
  if (!blank) inner = VHSM_TRY(keystore::Generator::create(type, selection));
  std::unique_ptr<KeyGenerator> generator(new KeyGenerator(provider, type, std::move(inner)));
  VHSM_TRY(generator->set_params(params));
  return generator;
}

const ossl::Core& KeyGenerator::core() const noexcept { return provider_->core(); }

Status KeyGenerator::set_params(const OSSL_PARAM params[]) {
  if (params == nullptr) return {};
  if (OSSL_PARAM_locate_const(params, kUriParam) != nullptr) {
    return fail(Errc::kUnsupported, "generated keys are ephemeral; store a key with a name instead",
                kUriParam);
  }
  const OSSL_PARAM* group = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
  if (group != nullptr && type_->is_own_group()) {
    VHSM_TRY(check_own_group(*type_, *group));
    if (generator_ == nullptr) return {};
    return generator_->set_params(without(params, OSSL_PKEY_PARAM_GROUP_NAME).data());
  }
  return generator_ != nullptr ? generator_->set_params(params) : Status();
}

const OSSL_PARAM* KeyGenerator::settable_params() const noexcept {
  if (generator_ == nullptr || type_->is_own_group()) return kGroupOnly;
  return generator_->settable_params();
}

Status KeyGenerator::set_template(const KeyHandle& handle) {
  if (handle.key() == nullptr || generator_ == nullptr) return {};
  return generator_->set_template(*handle.key());
}

Result<std::unique_ptr<KeyHandle>> KeyGenerator::generate() {
  if (generator_ == nullptr) return std::make_unique<KeyHandle>(*provider_, *type_);
  auto key = VHSM_TRY(generator_->generate());
  return std::make_unique<KeyHandle>(*provider_, *type_, std::move(key));
}

}  // namespace vhsm::provider
