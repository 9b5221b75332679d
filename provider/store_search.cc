// SPDX-License-Identifier: Apache-2.0
#include "provider/store_search.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace vhsm::provider {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// The digest of a fingerprint that comes without one, by its length.
const char* usual_digest(std::size_t bytes) noexcept {
  switch (bytes) {
    case 20: return "SHA1";
    case 32: return "SHA2-256";
    case 48: return "SHA2-384";
    case 64: return "SHA2-512";
    default: return "";
  }
}

Result<std::string> read_text(const OSSL_PARAM& param) {
  const char* text = nullptr;
  if (OSSL_PARAM_get_utf8_string_ptr(&param, &text) != 1 || text == nullptr) {
    return fail(Errc::kInvalidArgument, "parameter is not a UTF-8 string", param.key);
  }
  return std::string(text, ::strnlen(text, param.data_size));
}

Result<Bytes> read_bytes(const OSSL_PARAM& param) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (OSSL_PARAM_get_octet_string_ptr(&param, &data, &size) != 1 || data == nullptr || size == 0) {
    return fail(Errc::kInvalidArgument, "parameter is not an octet string with bytes", param.key);
  }
  const auto* const begin = static_cast<const std::uint8_t*>(data);
  return Bytes(begin, begin + size);
}

Result<ossl::X509Name> read_name(const OSSL_PARAM& param) {
  const Bytes der = VHSM_TRY(read_bytes(param));
  const ossl::ErrorMark quiet;
  const unsigned char* next = der.data();
  ossl::X509Name name(d2i_X509_NAME(nullptr, &next, static_cast<long>(der.size())));
  if (name != nullptr && next == der.data() + der.size()) return name;
  return fail(Errc::kBadFormat, "parameter is not the DER of a name", param.key);
}

Result<ossl::Bignum> read_number(const OSSL_PARAM& param) {
  BIGNUM* number = nullptr;
  const bool read = OSSL_PARAM_get_BN(&param, &number) == 1;
  ossl::Bignum owned(number);
  if (read) return owned;
  return fail(Errc::kInvalidArgument, "parameter is not an integer", param.key);
}

bool is_same(const X509_NAME* wanted, const X509_NAME* name) noexcept {
  return wanted == nullptr || X509_NAME_cmp(wanted, name) == 0;
}

bool is_serial(const BIGNUM* wanted, X509* certificate) {
  if (wanted == nullptr) return true;
  const ossl::Bignum serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  return serial != nullptr && BN_cmp(wanted, serial.get()) == 0;
}

Bytes key_info_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (size <= 0) return {};
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

bool is_for(const X509* certificate, const keystore::KeyPtr& key) {
  const EVP_PKEY* const certified = X509_get0_pubkey(certificate);
  return key != nullptr && certified != nullptr &&
         EVP_PKEY_eq(certified, key->public_half().get()) == 1;
}

}  // namespace

Status StoreSearch::read(const OSSL_PARAM& param) {
  const std::string_view key = param.key;
  if (key == OSSL_STORE_PARAM_SUBJECT) subject_ = VHSM_TRY(read_name(param));
  if (key == OSSL_STORE_PARAM_ISSUER) issuer_ = VHSM_TRY(read_name(param));
  if (key == OSSL_STORE_PARAM_SERIAL) serial_ = VHSM_TRY(read_number(param));
  if (key == OSSL_STORE_PARAM_DIGEST) digest_name_ = VHSM_TRY(read_text(param));
  if (key == OSSL_STORE_PARAM_FINGERPRINT) fingerprint_ = VHSM_TRY(read_bytes(param));
  if (key == OSSL_STORE_PARAM_ALIAS) alias_ = VHSM_TRY(read_text(param));
  return {};
}

Status StoreSearch::finish() {
  if (fingerprint_.empty()) return {};
  if (digest_name_.empty()) digest_name_ = usual_digest(fingerprint_.size());
  const ossl::ErrorMark quiet;
  digest_.reset(EVP_MD_fetch(nullptr, digest_name_.c_str(), nullptr));
  if (digest_ != nullptr) return {};
  return fail(Errc::kUnsupported, "a fingerprint of an unknown digest", OSSL_STORE_PARAM_DIGEST);
}

Result<std::optional<StoreSearch>> StoreSearch::parse(const OSSL_PARAM params[]) {
  StoreSearch search;
  for (; params != nullptr && params->key != nullptr; ++params) VHSM_TRY(search.read(*params));
  VHSM_TRY(search.finish());
  if (!search.alias_.has_value() && !search.is_by_certificate()) {
    return std::optional<StoreSearch>();
  }
  return std::optional(std::move(search));
}

bool StoreSearch::may_be(const keystore::KeyName& name) const noexcept {
  if (!alias_.has_value()) return true;
  const std::string_view path = name.path();
  if (alias_->empty() || !path.ends_with(*alias_)) return false;
  const std::size_t rest = path.size() - alias_->size();
  return rest == 0 || path[rest - 1] == '/';
}

bool StoreSearch::is_by_certificate() const noexcept {
  return subject_ != nullptr || issuer_ != nullptr || serial_ != nullptr || !fingerprint_.empty();
}

bool StoreSearch::is_fingerprint_of(const Bytes& der) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  return EVP_Digest(der.data(), der.size(), digest.data(), &size, digest_.get(), nullptr) == 1 &&
         std::ranges::equal(fingerprint_, std::span(digest).first(size));
}

bool StoreSearch::matches(X509* certificate, const Bytes& der) const {
  return is_same(subject_.get(), X509_get_subject_name(certificate)) &&
         is_same(issuer_.get(), X509_get_issuer_name(certificate)) &&
         is_serial(serial_.get(), certificate) &&
         (fingerprint_.empty() || is_fingerprint_of(der) ||
          is_fingerprint_of(key_info_of(certificate)));
}

keystore::Entry StoreSearch::narrow(keystore::Entry entry) const {
  if (!is_by_certificate()) return entry;
  const ossl::ErrorMark quiet;
  const bool only_fingerprint = subject_ == nullptr && issuer_ == nullptr && serial_ == nullptr;
  bool keeps_key = only_fingerprint && is_fingerprint_of(entry.public_key_info);
  std::erase_if(entry.certificates, [&](const Bytes& der) {
    const unsigned char* next = der.data();
    const ossl::X509Cert parsed(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
    const bool keeps = parsed != nullptr && matches(parsed.get(), der);
    keeps_key = keeps_key || (keeps && is_for(parsed.get(), entry.key));
    return !keeps;
  });
  if (!keeps_key) entry.key = nullptr;
  return entry;
}

}  // namespace vhsm::provider
