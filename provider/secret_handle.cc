// SPDX-License-Identifier: Apache-2.0
#include "provider/secret_handle.h"

#include <openssl/params.h>

#include <cstddef>
#include <utility>

#include "provider/provider.h"

namespace vhsm::provider {
namespace {

using keystore::ObjectType;
using keystore::SymmetricKey;
using keystore::SymmetricKeyPtr;

// <openssl/core_names.h> of OpenSSL 3.5.
constexpr const char* kKeyLength = "key-length";

constexpr OSSL_PARAM kEnd{nullptr, 0, nullptr, 0, 0};
constexpr OSSL_PARAM kImportParams[] = {
    {kSecretUriParam, OSSL_PARAM_UTF8_STRING, nullptr, 0, OSSL_PARAM_UNMODIFIED}, kEnd};
constexpr OSSL_PARAM kGenerateParams[] = {
    {kKeyLength, OSSL_PARAM_UNSIGNED_INTEGER, nullptr, sizeof(std::size_t), OSSL_PARAM_UNMODIFIED},
    kEnd};

const OSSL_PARAM* find(const OSSL_PARAM params[], const char* name) noexcept {
  return params != nullptr ? OSSL_PARAM_locate_const(params, name) : nullptr;
}

Result<std::string_view> text_of(const OSSL_PARAM& param) {
  const char* text = nullptr;
  const bool is_text = OSSL_PARAM_get_utf8_string_ptr(&param, &text) == 1 && text != nullptr;
  if (!is_text) return fail(Errc::kInvalidArgument, "parameter is not a text", param.key);
  return std::string_view(text);
}

}  // namespace

Result<SymmetricKeyPtr> open_secret(Provider& provider, const OSSL_PARAM& param) {
  const std::string_view text = VHSM_TRY(text_of(param));
  auto uri = VHSM_TRY(keystore::KeyUri::parse(text, provider.settings().kbs_path));
  if (uri.type.value_or(ObjectType::kSecret) != ObjectType::kSecret) {
    return fail(Errc::kBadUri, "a symmetric key has type=secret or no type", text);
  }
  uri.type = ObjectType::kSecret;
  auto entry = VHSM_TRY(provider.keystore().open(uri));
  return symmetric_in(entry, uri.name);
}

SecretHandle::SecretHandle(Provider& provider, SymmetricKeyPtr key)
    : provider_(&provider),
      key_(std::move(key)),
      id_(key_->uri() != nullptr ? key_->uri()->name.uri() : std::string()) {}

Result<std::unique_ptr<SecretHandle>> SecretHandle::import(Provider& provider,
                                                           const OSSL_PARAM params[]) {
  const OSSL_PARAM* const uri = find(params, kSecretUriParam);
  if (uri == nullptr) {
    return fail(Errc::kUnsupported, "a key is named by vhsm-uri; one in the clear is for others");
  }
  auto key = VHSM_TRY(open_secret(provider, *uri));
  return std::make_unique<SecretHandle>(provider, std::move(key));
}

Result<std::unique_ptr<SecretHandle>> SecretHandle::generate(Provider& provider,
                                                             const OSSL_PARAM params[]) {
  if (find(params, kSecretUriParam) != nullptr) {
    return fail(Errc::kUnsupported, "symmetric keys are not stored from here", kSecretUriParam);
  }
  const OSSL_PARAM* const length = find(params, kKeyLength);
  std::size_t bytes = 0;
  if (length == nullptr || OSSL_PARAM_get_size_t(length, &bytes) != 1) {
    return fail(Errc::kInvalidArgument, "the key's length in bytes is missing", kKeyLength);
  }
  auto key = VHSM_TRY(SymmetricKey::generate(bytes));
  return std::make_unique<SecretHandle>(provider, std::move(key));
}

const OSSL_PARAM* SecretHandle::import_params() noexcept { return kImportParams; }

const OSSL_PARAM* SecretHandle::generate_params() noexcept { return kGenerateParams; }

const ossl::Core& SecretHandle::core() const noexcept { return provider_->core(); }

Status SecretHandle::refuse_export() const {
  return key_->named(fail(Errc::kNotExportable, "symmetric keys never leave protected memory"));
}

}  // namespace vhsm::provider
