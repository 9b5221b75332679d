// SPDX-License-Identifier: Apache-2.0
#include "keystore/pair_check.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/handle.h"
#include "keystore/hot_set.h"
#include "keystore/inner_context.h"

namespace vhsm::keystore {
namespace {

constexpr std::size_t kLargestPointBytes = 133;  // P-521, uncompressed

Status differ() { return fail(Errc::kCrypto, "the halves do not belong together"); }

Result<ossl::Bignum> number(const EVP_PKEY* key, const char* name) {
  ossl::Bignum value;
  VHSM_TRY(crypto(EVP_PKEY_get_bn_param(key, name, ossl::Receive(value)), "the key lacks a part"));
  return value;
}

/// A held curve, made once: making it costs as much as a multiplication. It stays for the process's
/// life, and holds nothing secret.
Result<const EC_GROUP*> held_curve(std::size_t index) {
  static constinit std::array<std::atomic<EC_GROUP*>, kHeldCurves.size()> groups{};
  std::atomic<EC_GROUP*>& place = groups.at(index);
  if (const EC_GROUP* group = place.load(std::memory_order_acquire)) return group;
  ossl::EcGroup group(EC_GROUP_new_by_curve_name(OBJ_sn2nid(kHeldCurves.at(index).name)));
  if (group == nullptr) return fail(Errc::kCrypto, "no such curve");
  EC_GROUP* none = nullptr;
  if (place.compare_exchange_strong(none, group.get())) return group.release();
  return none;  // another thread's
}

Result<const EC_GROUP*> curve_of(const EVP_PKEY* key) {
  std::array<char, 64> name{};
  VHSM_TRY(crypto(EVP_PKEY_get_group_name(key, name.data(), name.size(), nullptr), "no curve"));
  const Curve* curve = find_curve(name.data());
  if (curve == nullptr) return fail(Errc::kUnsupported, "EC keys need a held curve");
  return held_curve(static_cast<std::size_t>(curve - kHeldCurves.data()));
}

Result<ossl::EcPoint> stored_point(const EC_GROUP* group, const EVP_PKEY* key) {
  std::array<std::uint8_t, kLargestPointBytes> encoded{};
  std::size_t size = 0;
  VHSM_TRY(crypto(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, encoded.data(),
                                                  encoded.size(), &size),
                  "the key has no point"));
  auto point = VHSM_TRY(made(ossl::EcPoint(EC_POINT_new(group)), "no point"));
  VHSM_TRY(crypto(EC_POINT_oct2point(group, point.get(), encoded.data(), size, nullptr),
                  "the point is not on the curve"));
  return point;
}

/// With a scalar within the group's order, the point is one of the group's without a further look.
Status check_point(const EVP_PKEY* pair) {
  const EC_GROUP* group = VHSM_TRY(curve_of(pair));
  const auto scalar = VHSM_TRY(number(pair, OSSL_PKEY_PARAM_PRIV_KEY));
  if (BN_is_zero(scalar.get()) || BN_cmp(scalar.get(), EC_GROUP_get0_order(group)) >= 0) {
    return differ();
  }
  const auto computed = VHSM_TRY(made(ossl::EcPoint(EC_POINT_new(group)), "no point"));
  VHSM_TRY(crypto(EC_POINT_mul(group, computed.get(), scalar.get(), nullptr, nullptr, nullptr),
                  "the point cannot be computed"));
  const auto stored = VHSM_TRY(stored_point(group, pair));
  return EC_POINT_cmp(group, computed.get(), stored.get(), nullptr) == 0 ? Status() : differ();
}

// ----- RSA --------------------------------------------------------------------------------------

constexpr std::array kFactors{OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
                              OSSL_PKEY_PARAM_RSA_FACTOR3, OSSL_PKEY_PARAM_RSA_FACTOR4,
                              OSSL_PKEY_PARAM_RSA_FACTOR5, OSSL_PKEY_PARAM_RSA_FACTOR6,
                              OSSL_PKEY_PARAM_RSA_FACTOR7, OSSL_PKEY_PARAM_RSA_FACTOR8,
                              OSSL_PKEY_PARAM_RSA_FACTOR9, OSSL_PKEY_PARAM_RSA_FACTOR10};

/// A key without primes (n, e and d alone) has nothing that could be computed in short.
Status check_modulus(const EVP_PKEY* pair) {
  const std::unique_ptr<BN_CTX, ossl::Deleter<BN_CTX_free>> scratch(BN_CTX_secure_new());
  auto product = VHSM_TRY(made(ossl::Bignum(BN_secure_new()), "no number"));
  VHSM_TRY(crypto(BN_one(product.get()), "no number"));
  for (const char* name : kFactors) {
    ossl::Bignum factor;
    if (EVP_PKEY_get_bn_param(pair, name, ossl::Receive(factor)) != 1) break;
    VHSM_TRY(crypto(BN_mul(product.get(), product.get(), factor.get(), scratch.get()),
                    "the modulus cannot be computed"));
  }
  const auto modulus = VHSM_TRY(number(pair, OSSL_PKEY_PARAM_RSA_N));
  const bool same = BN_is_one(product.get()) || BN_cmp(product.get(), modulus.get()) == 0;
  return same ? Status() : differ();
}

/// OpenSSL's own check of an RSA pair tests primes for a tenth of a second; a signature that the
/// public half accepts says as much about the two belonging together.
Status check_by_signature(const PublicHalf& half, EVP_PKEY* pair) {
  constexpr std::array<std::uint8_t, EVP_MAX_MD_SIZE> kZeros{};
  std::array<std::uint8_t, OPENSSL_RSA_MAX_MODULUS_BITS / 8> signature{};
  const std::string_view digest = half.default_digest().empty() ? "SHA256" : half.default_digest();
  const EVP_MD* md = EVP_get_digestbyname(std::string(digest).c_str());
  if (md == nullptr) return fail(Errc::kUnsupported, "the key's digest is not known");
  const auto input = std::span(kZeros).first(static_cast<std::size_t>(EVP_MD_get_size(md)));
  const auto sign = [&]() -> Result<std::size_t> {
    const auto signer = VHSM_TRY(begin_inner(pair, true, {OperationKind::kSign, digest}));
    std::size_t size = signature.size();
    VHSM_TRY(
        crypto(EVP_PKEY_sign(signer->get(), signature.data(), &size, input.data(), input.size()),
               "the private half does not sign"));
    return size;
  };
  const std::size_t size = VHSM_TRY(run_with_room(sign));
  const auto verifier = VHSM_TRY(begin_inner(half.get(), false, {OperationKind::kVerify, digest}));
  return crypto(
      EVP_PKEY_verify(verifier->get(), signature.data(), size, input.data(), input.size()),
      "the halves do not belong together");
}

// ----- the others -------------------------------------------------------------------------------

Status check_by_library(EVP_PKEY* pair) {
  const auto ctx = VHSM_TRY(
      made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_pkey(nullptr, pair, nullptr)), "no check context"));
  return crypto(EVP_PKEY_pairwise_check(ctx.get()), "the halves do not belong together");
}

}  // namespace

Status check_parts(const PublicHalf& half, EVP_PKEY* pair) {
  const ossl::ErrorMark quiet;
  if (EVP_PKEY_eq(half.get(), pair) != 1) return differ();
  switch (half.type().family) {
    case Family::kRsa: return check_modulus(pair);
    case Family::kEc: return check_point(pair);
    // The pair has its public half inside the private one, and it is the right one. To compute it
    // anew takes as long as to make a key, up to a tenth of a second.
    case Family::kSlhDsa: return {};
    default: return check_by_library(pair);
  }
}

Status check_pair(const PublicHalf& half, EVP_PKEY* pair) {
  const ossl::ErrorMark quiet;
  Status checked = run_with_room([&] { return check_parts(half, pair); });
  if (checked.ok() && half.type().family == Family::kRsa) checked = check_by_signature(half, pair);
  if (checked.ok() && half.type().family == Family::kSlhDsa) {
    checked = run_with_room([&] { return check_by_library(pair); });
  }
  if (checked.ok() || checked.error().code != Errc::kCrypto) return checked;
  return fail(Errc::kBadFormat,
              "the private and the public half of the key do not belong together");
}

}  // namespace vhsm::keystore
