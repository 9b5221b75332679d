// SPDX-License-Identifier: Apache-2.0
//
// Public keys on the wire: EC and RSA keys as JSON Web Keys.
// Source: RFC 7517; RFC 7518, sections 6.2 and 6.3; kbs-types TeePubKey for the members of a TEE
// key.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/handle.h"
#include "base/result.h"
#include "jose/json.h"

namespace vhsm::jose {

inline constexpr std::string_view kKeyAgreementAlg = "ECDH-ES+A256KW";
inline constexpr std::string_view kKeyTransportAlg = "RSA-OAEP-256";
inline constexpr std::string_view kSignatureAlg = "ES256";

/// An EC public key. Coordinates are base64url without padding, of the curve's full length.
struct EcPublicJwk {
  std::string crv;  ///< P-256 or P-521
  std::string alg;  ///< what the key is for; empty only in an ephemeral key (epk)
  std::string x;
  std::string y;
  friend bool operator==(const EcPublicJwk&, const EcPublicJwk&) = default;
};

/// An RSA public key of 2048 to 4096 bits. Numbers are base64url without padding, without leading
/// zeros.
struct RsaPublicJwk {
  std::string alg;
  std::string n;
  std::string e;
  friend bool operator==(const RsaPublicJwk&, const RsaPublicJwk&) = default;
};

/// What a KBS encrypts to.
using TeeJwk = std::variant<EcPublicJwk, RsaPublicJwk>;

/// {"alg","crv","kty","x","y"} and nothing else; without "alg" when it is empty.
[[nodiscard]] Json to_json(const EcPublicJwk& jwk);
/// As above, or {"alg","e","kty","n"}.
[[nodiscard]] Json to_json(const TeeJwk& jwk);

/// Reads the members above, all required; others are dropped, as Trustee does. The curve, the
/// coordinates' length and that the point is on the curve are checked.
/// @errors kBadFormat (subject: the member), kUnsupported (another key type or curve).
[[nodiscard]] Result<EcPublicJwk> jwk_from_json(const Json& json);

/// jwk_from_json() for either kind.
[[nodiscard]] Result<TeeJwk> tee_jwk_from_json(const Json& json);

/// jwk_from_json() for an ephemeral key: "alg" is neither needed nor read.
[[nodiscard]] Result<EcPublicJwk> epk_from_json(const Json& json);

/// @errors kBadFormat, kUnsupported, kCrypto.
[[nodiscard]] Result<ossl::PKey> to_pkey(const EcPublicJwk& jwk);

/// @errors kBadFormat, kUnsupported (also an RSA key that is too small or too large), kCrypto.
[[nodiscard]] Result<ossl::PKey> to_pkey(const TeeJwk& jwk);

/// The public half of a TEE key, with the `alg` that keys of its type have.
/// @errors kUnsupported, kCrypto.
[[nodiscard]] Result<TeeJwk> tee_jwk_of(EVP_PKEY* key);

/// The public half of an EC key.
/// @errors kUnsupported (not EC on P-256 or P-521), kCrypto.
[[nodiscard]] Result<EcPublicJwk> from_pkey(EVP_PKEY* key, std::string_view alg);

/// The JWK name of an EC key's curve, e.g. "P-256".
/// @errors kUnsupported.
[[nodiscard]] Result<std::string_view> curve_of(EVP_PKEY* key);

}  // namespace vhsm::jose
