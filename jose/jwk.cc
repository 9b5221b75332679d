// SPDX-License-Identifier: Apache-2.0
//
// Public keys on the wire.
#include "jose/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "jose/base64.h"

namespace vhsm::jose {
namespace {

struct Curve {
  std::string_view name;  ///< RFC 7518
  const char* group;      ///< OpenSSL
  std::size_t coordinate_bytes;
};
constexpr Curve kCurves[] = {{"P-256", "prime256v1", 32}, {"P-521", "secp521r1", 66}};
constexpr std::size_t kMaxPointBytes = 1 + 2 * 66;
constexpr std::uint8_t kUncompressed = 0x04;  // SEC 1, section 2.3.3

Result<const Curve*> curve_named(std::string_view name) {
  for (const Curve& curve : kCurves) {
    if (curve.name == name) return &curve;
  }
  return fail(Errc::kUnsupported, "the curve of a JWK is not P-256 or P-521", name);
}

Result<const Curve*> curve_of_key(EVP_PKEY* key) {
  const ossl::ErrorMark quiet;
  std::array<char, 32> group{};
  std::size_t length = 0;
  if (EVP_PKEY_is_a(key, "EC") == 1 &&
      EVP_PKEY_get_group_name(key, group.data(), group.size(), &length) == 1) {
    for (const Curve& curve : kCurves) {
      if (std::string_view(group.data()) == curve.group) return &curve;
    }
  }
  return fail(Errc::kUnsupported, "the key is not an EC key on P-256 or P-521");
}

Status append_coordinate(std::string_view text, const Curve& curve,
                         std::vector<std::uint8_t>& point) {
  const auto bytes = VHSM_TRY(from_base64url(text));
  if (bytes.size() != curve.coordinate_bytes) {
    return fail(Errc::kBadFormat, "a coordinate of a JWK does not have its curve's length");
  }
  point.insert(point.end(), bytes.begin(), bytes.end());
  return {};
}

Result<ossl::PKey> pkey_from_point(const Curve& curve, std::vector<std::uint8_t>& point) {
  const ossl::ErrorMark quiet;  // a point off the curve is the sender's fault, not ours
  const auto ctx = VHSM_TRY(
      made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr)), "no EC keys"));
  VHSM_TRY(crypto(EVP_PKEY_fromdata_init(ctx.get()), "EVP_PKEY_fromdata_init"));
  std::string group(curve.group);
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), group.size()),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()),
      OSSL_PARAM_construct_end()};
  ossl::PKey key;
  if (EVP_PKEY_fromdata(ctx.get(), ossl::Receive(key), EVP_PKEY_PUBLIC_KEY, params) != 1) {
    return fail(Errc::kBadFormat, "the point of a JWK is not on its curve");
  }
  return key;
}

using ParamBuild = ossl::Handle<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using ParamList = ossl::Handle<OSSL_PARAM, OSSL_PARAM_free>;

constexpr int kLeastRsaBits = 2048;
constexpr int kMostRsaBits = 4096;
constexpr int kMostExponentBits = 64;

Result<ossl::Bignum> number_from(std::string_view text) {
  const auto bytes = VHSM_TRY(from_base64url(text));
  if (bytes.empty() || bytes.front() == 0 || bytes.size() > kMostRsaBits / 8) {
    return fail(Errc::kBadFormat, "a number of a JWK is not in its one form");
  }
  return made(ossl::Bignum(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr)),
              "no number");
}

Result<std::string> number_of(EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  const int rc = EVP_PKEY_get_bn_param(key, name, &raw);
  const ossl::Bignum number(raw);
  VHSM_TRY(crypto(rc, "an RSA key's public numbers"));
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), bytes.data());
  return base64url(bytes);
}

Result<ossl::PKey> rsa_from_numbers(const BIGNUM* n, const BIGNUM* e) {
  const auto build = VHSM_TRY(made(ParamBuild(OSSL_PARAM_BLD_new()), "no parameters"));
  VHSM_TRY(crypto(OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, n), "an RSA modulus"));
  VHSM_TRY(
      crypto(OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, e), "an RSA exponent"));
  const auto params =
      VHSM_TRY(made(ParamList(OSSL_PARAM_BLD_to_param(build.get())), "no parameters"));
  const auto ctx = VHSM_TRY(
      made(ossl::PKeyCtx(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr)), "no RSA keys"));
  VHSM_TRY(crypto(EVP_PKEY_fromdata_init(ctx.get()), "EVP_PKEY_fromdata_init"));
  ossl::PKey key;
  VHSM_TRY(
      crypto(EVP_PKEY_fromdata(ctx.get(), ossl::Receive(key), EVP_PKEY_PUBLIC_KEY, params.get()),
             "EVP_PKEY_fromdata"));
  return key;
}

Result<ossl::PKey> rsa_to_pkey(const RsaPublicJwk& jwk) {
  const auto n = VHSM_TRY(number_from(jwk.n));
  const auto e = VHSM_TRY(number_from(jwk.e));
  const int bits = BN_num_bits(n.get());
  if (bits < kLeastRsaBits || bits > kMostRsaBits || BN_num_bits(e.get()) > kMostExponentBits) {
    return fail(Errc::kUnsupported, "an RSA key of a JWK has not 2048 to 4096 bits");
  }
  return rsa_from_numbers(n.get(), e.get());
}

Result<TeeJwk> rsa_from_json(const Json& json) {
  RsaPublicJwk jwk;
  jwk.alg = VHSM_TRY(text_member(json, "alg"));
  jwk.n = VHSM_TRY(text_member(json, "n"));
  jwk.e = VHSM_TRY(text_member(json, "e"));
  const auto key = rsa_to_pkey(jwk);
  if (!key.ok()) return key.error();
  return TeeJwk(std::move(jwk));
}

Result<EcPublicJwk> point_from_json(const Json& json) {
  const auto kty = VHSM_TRY(text_member(json, "kty"));
  if (kty != "EC") return fail(Errc::kUnsupported, "a JWK is not an EC key", kty);
  EcPublicJwk jwk;
  jwk.crv = VHSM_TRY(text_member(json, "crv"));
  jwk.x = VHSM_TRY(text_member(json, "x"));
  jwk.y = VHSM_TRY(text_member(json, "y"));
  const auto key = to_pkey(jwk);
  if (!key.ok()) return key.error();
  return jwk;
}

}  // namespace

Json to_json(const EcPublicJwk& jwk) {
  Json json{{"crv", jwk.crv}, {"kty", "EC"}, {"x", jwk.x}, {"y", jwk.y}};
  if (!jwk.alg.empty()) json["alg"] = jwk.alg;
  return json;
}

Json to_json(const TeeJwk& jwk) {
  if (const auto* ec = std::get_if<EcPublicJwk>(&jwk)) return to_json(*ec);
  const auto& rsa = std::get<RsaPublicJwk>(jwk);
  return Json{{"alg", rsa.alg}, {"e", rsa.e}, {"kty", "RSA"}, {"n", rsa.n}};
}

Result<TeeJwk> tee_jwk_from_json(const Json& json) {
  const auto kty = VHSM_TRY(text_member(json, "kty"));
  if (kty == "RSA") return rsa_from_json(json);
  EcPublicJwk ec = VHSM_TRY(jwk_from_json(json));
  return TeeJwk(std::move(ec));
}

Result<EcPublicJwk> jwk_from_json(const Json& json) {
  const auto alg = VHSM_TRY(text_member(json, "alg"));
  if (alg.empty()) return fail(Errc::kBadFormat, "a JSON member is empty", "alg");
  EcPublicJwk jwk = VHSM_TRY(point_from_json(json));
  jwk.alg = alg;
  return jwk;
}

Result<EcPublicJwk> epk_from_json(const Json& json) { return point_from_json(json); }

Result<ossl::PKey> to_pkey(const EcPublicJwk& jwk) {
  const Curve* curve = VHSM_TRY(curve_named(jwk.crv));
  std::vector<std::uint8_t> point{kUncompressed};
  VHSM_TRY(append_coordinate(jwk.x, *curve, point));
  VHSM_TRY(append_coordinate(jwk.y, *curve, point));
  return pkey_from_point(*curve, point);
}

Result<ossl::PKey> to_pkey(const TeeJwk& jwk) {
  if (const auto* ec = std::get_if<EcPublicJwk>(&jwk)) return to_pkey(*ec);
  return rsa_to_pkey(std::get<RsaPublicJwk>(jwk));
}

Result<TeeJwk> tee_jwk_of(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") != 1) {
    EcPublicJwk ec = VHSM_TRY(from_pkey(key, kKeyAgreementAlg));
    return TeeJwk(std::move(ec));
  }
  RsaPublicJwk jwk;
  jwk.alg = kKeyTransportAlg;
  jwk.n = VHSM_TRY(number_of(key, OSSL_PKEY_PARAM_RSA_N));
  jwk.e = VHSM_TRY(number_of(key, OSSL_PKEY_PARAM_RSA_E));
  return TeeJwk(std::move(jwk));
}

Result<EcPublicJwk> from_pkey(EVP_PKEY* key, std::string_view alg) {
  const Curve* curve = VHSM_TRY(curve_of_key(key));
  std::array<std::uint8_t, kMaxPointBytes> point{};
  std::size_t length = 0;
  VHSM_TRY(crypto(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                                  point.size(), &length),
                  "an EC key's public point"));
  if (length != 1 + 2 * curve->coordinate_bytes || point[0] != kUncompressed) {
    return fail(Errc::kUnsupported, "an EC key whose point is not given uncompressed");
  }
  const auto octets = std::span<const std::uint8_t>(point);
  return EcPublicJwk{
      std::string(curve->name), std::string(alg),
      base64url(octets.subspan(1, curve->coordinate_bytes)),
      base64url(octets.subspan(1 + curve->coordinate_bytes, curve->coordinate_bytes))};
}

Result<std::string_view> curve_of(EVP_PKEY* key) {
  const Curve* curve = VHSM_TRY(curve_of_key(key));
  return curve->name;
}

}  // namespace vhsm::jose
