// SPDX-License-Identifier: Apache-2.0
//
// Public keys on the wire.
#include "jose/jwk.h"

#include <openssl/core_names.h>
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
