// SPDX-License-Identifier: Apache-2.0
#include "keystore/public_half.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "keystore/hot_set.h"
#include "keystore/name_list.h"
#include "keystore/packed_params.h"

namespace vhsm::keystore {
namespace {

constexpr int kSmallestRsaBits = 2048;
constexpr int kLargestRsaBits = OPENSSL_RSA_MAX_MODULUS_BITS;
constexpr int kPublicSelection = EVP_PKEY_PUBLIC_KEY;

std::vector<OSSL_PARAM> without(std::span<const char* const> names, const OSSL_PARAM params[]) {
  std::vector<OSSL_PARAM> kept;
  for (const OSSL_PARAM* p = params; p != nullptr && p->key != nullptr; ++p) {
    if (!one_of(names, p->key)) kept.push_back(*p);
  }
  kept.push_back(OSSL_PARAM_construct_end());
  return kept;
}

Status supported_curve(const EVP_PKEY* key) {
  std::array<char, 64> group{};
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1) {
    return fail(Errc::kUnsupported, "EC keys need a named curve");
  }
  if (find_curve(group.data()) != nullptr) return {};
  return fail(Errc::kUnsupported, "EC keys are not held on this curve",
              std::string_view(group.data()));
}

Status supported_size(const EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  if (bits >= kSmallestRsaBits && bits <= kLargestRsaBits) return {};
  return fail(Errc::kUnsupported, "RSA keys are held from 2048 to 16384 bits",
              std::to_string(bits) + " bits");
}

Result<ossl::PKey> from_data(const KeyType& type, int selection, OSSL_PARAM* params) {
  const auto ctx = VHSM_TRY(made(
      ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, type.name, nullptr)), "no such key type"));
  VHSM_TRY(crypto(EVP_PKEY_fromdata_init(ctx.get()), "key import does not start"));
  ossl::PKey key;
  if (EVP_PKEY_fromdata(ctx.get(), ossl::Receive(key), selection, params) != 1) {
    return fail(Errc::kBadFormat, "the key's parameters do not make a key", type.name);
  }
  return key;
}

/// Copied out of protected memory, where only scopes can read.
Result<std::vector<std::uint8_t>> public_parts(EVP_PKEY* pair) {
  OSSL_PARAM* raw = nullptr;
  VHSM_TRY(crypto(EVP_PKEY_todata(pair, kPublicSelection, &raw), "no public half"));
  const OwnedParams params(raw);
  std::vector<std::uint8_t> parts(packed_bytes(params.get()));
  VHSM_TRY(pack(params.get(), parts));
  return parts;
}

std::optional<std::string> text_param(const EVP_PKEY* key, const char* name) {
  std::array<char, 64> text{};
  if (EVP_PKEY_get_utf8_string_param(key, name, text.data(), text.size(), nullptr) != 1) return {};
  return text.data();
}

}  // namespace

OwnedParams::OwnedParams(OwnedParams&& other) noexcept
    : params_(std::exchange(other.params_, nullptr)) {}
OwnedParams& OwnedParams::operator=(OwnedParams&& other) noexcept {
  std::swap(params_, other.params_);
  return *this;
}
OwnedParams::~OwnedParams() { OSSL_PARAM_free(params_); }

Result<const KeyType*> supported_type(const EVP_PKEY* key) {
  const char* name = EVP_PKEY_get0_type_name(key);
  const KeyType* type = name == nullptr ? nullptr : find_key_type(name);
  if (type == nullptr) {
    return fail(Errc::kUnsupported, "keys of this type are not held", name == nullptr ? "?" : name);
  }
  if (type == &kEc) VHSM_TRY(supported_curve(key));
  if (type->family == Family::kRsa) VHSM_TRY(supported_size(key));
  return type;
}

PublicHalf::PublicHalf(const KeyType& type, ossl::PKey key) noexcept
    : type_(&type), key_(std::move(key)) {
  default_digest_ = text_param(key_.get(), OSSL_PKEY_PARAM_DEFAULT_DIGEST);
  mandatory_digest_ = text_param(key_.get(), OSSL_PKEY_PARAM_MANDATORY_DIGEST);
  group_ = text_param(key_.get(), OSSL_PKEY_PARAM_GROUP_NAME);
  const int size = EVP_PKEY_get_size(key_.get());
  max_output_bytes_ = size > 0 ? static_cast<std::size_t>(size) : 0;
}

Result<std::size_t> PublicHalf::room_for_signature(std::span<const std::uint8_t> out) const {
  if (out.data() == nullptr || out.size() >= max_output_bytes_) return max_output_bytes_;
  return fail(Errc::kBadLength, "the buffer is too small for a signature", type_->name);
}

Result<PublicHalf> PublicHalf::checked(ossl::PKey key) {
  const ossl::ErrorMark quiet;
  const KeyType* type = VHSM_TRY(supported_type(key.get()));
  PublicHalf half(*type, std::move(key));
  std::size_t size = 0;
  ossl::Bignum n;
  half.has_public_ =
      type->family == Family::kRsa
          ? EVP_PKEY_get_bn_param(half.get(), OSSL_PKEY_PARAM_RSA_N, ossl::Receive(n)) == 1
          : EVP_PKEY_get_octet_string_param(half.get(), OSSL_PKEY_PARAM_PUB_KEY, nullptr, 0,
                                            &size) == 1;
  return half;
}

Result<PublicHalf> PublicHalf::from_params(const KeyType& type, Selection selection,
                                           const OSSL_PARAM params[]) {
  const ossl::ErrorMark quiet;
  auto kept = without(type.private_params, params);
  const bool wants_public = (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0;
  const int what = wants_public ? kPublicSelection : EVP_PKEY_KEY_PARAMETERS;
  auto key = VHSM_TRY(from_data(type, what, kept.data()));
  return checked(std::move(key));
}

Result<PublicHalf> PublicHalf::from_key_info(std::span<const std::uint8_t> der) {
  const ossl::ErrorMark quiet;
  const unsigned char* next = der.data();
  ossl::PKey key(d2i_PUBKEY_ex(nullptr, &next, static_cast<long>(der.size()), nullptr, nullptr));
  if (key == nullptr || next != der.data() + der.size()) {
    return fail(Errc::kBadFormat, "not a SubjectPublicKeyInfo");
  }
  return checked(std::move(key));
}

Result<PublicHalf> PublicHalf::of(EVP_PKEY* pair) {
  const KeyType* type = nullptr;
  const auto read = [&]() -> Result<std::vector<std::uint8_t>> {
    type = VHSM_TRY(supported_type(pair));
    return public_parts(pair);
  };
  auto parts = VHSM_TRY(run_with_room(read));
  auto params = VHSM_TRY(UnpackedParams::of(parts));
  return from_params(*type, kPublicSelection, params.get());
}

std::string_view PublicHalf::default_digest() const noexcept {
  if (mandatory_digest_) return *mandatory_digest_;
  return default_digest_ ? std::string_view(*default_digest_) : std::string_view();
}

bool PublicHalf::answer(OSSL_PARAM& param) const {
  const auto text = [&param](const std::optional<std::string>& value) {
    return !value || OSSL_PARAM_set_utf8_string(&param, value->c_str()) == 1;
  };
  const std::string_view name = param.key;
  if (name == OSSL_PKEY_PARAM_DEFAULT_DIGEST) return text(default_digest_);
  if (name == OSSL_PKEY_PARAM_MANDATORY_DIGEST) return text(mandatory_digest_);
  if (name == OSSL_PKEY_PARAM_GROUP_NAME) return text(group_);
  if (!one_of(type_->public_params, param.key)) return true;
  const ossl::ErrorMark quiet;
  OSSL_PARAM one[] = {param, OSSL_PARAM_construct_end()};
  const bool good = EVP_PKEY_get_params(key_.get(), one) == 1;
  param.return_size = one[0].return_size;
  return good;
}

Status PublicHalf::get_params(OSSL_PARAM params[]) const {
  // One by one: a name that this type does not know must not keep the others from their answer.
  for (OSSL_PARAM* p = params; p != nullptr && p->key != nullptr; ++p) {
    if (!answer(*p)) return fail(Errc::kBadLength, "the parameter's buffer does not fit", p->key);
  }
  return {};
}

Result<OwnedParams> PublicHalf::export_params(Selection selection) const {
  OSSL_PARAM* params = nullptr;
  const bool wants_public = (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0;
  const int what = wants_public ? kPublicSelection : EVP_PKEY_KEY_PARAMETERS;
  VHSM_TRY(crypto(EVP_PKEY_todata(key_.get(), what, &params), "no public parameters"));
  return OwnedParams(params);
}

Result<std::vector<std::uint8_t>> PublicHalf::key_info() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key_.get(), &der);
  if (size <= 0) return fail(Errc::kCrypto, "no SubjectPublicKeyInfo");
  const std::vector<std::uint8_t> info(der, der + size);
  OPENSSL_free(der);
  return info;
}

bool PublicHalf::matches(const PublicHalf& other, Selection selection) const noexcept {
  const ossl::ErrorMark quiet;
  if (type_ != other.type_) return false;
  if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0) {
    return has_public_ && other.has_public_ && EVP_PKEY_eq(key_.get(), other.get()) == 1;
  }
  // Types without domain parameters answer 1 or -2 ("not applicable").
  return type_ != &kEc || EVP_PKEY_parameters_eq(key_.get(), other.get()) == 1;
}

Status PublicHalf::validate(bool quick) const {
  const auto ctx = VHSM_TRY(made(
      ossl::PKeyCtx(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr)), "no check context"));
  if (!has_public_) return crypto(EVP_PKEY_param_check(ctx.get()), "the parameters are not valid");
  const int rc = quick ? EVP_PKEY_public_check_quick(ctx.get()) : EVP_PKEY_public_check(ctx.get());
  return crypto(rc, "the public key is not valid");
}

Result<PublicHalf> PublicHalf::with_public(std::span<const std::uint8_t> encoded) const {
  const ossl::ErrorMark quiet;
  auto copy = VHSM_TRY(made(ossl::PKey(EVP_PKEY_dup(key_.get())), "the key cannot be copied"));
  if (EVP_PKEY_set1_encoded_public_key(copy.get(), encoded.data(), encoded.size()) != 1) {
    return fail(Errc::kBadFormat, "not an encoded public key of this type", type_->name);
  }
  return checked(std::move(copy));
}

}  // namespace vhsm::keystore
