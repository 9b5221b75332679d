// SPDX-License-Identifier: Apache-2.0
//
// Attestation tokens: compact JWS by ES256, whose header carries the key and its certificates.
// Source: RFC 7515; RFC 7519; Trustee kbs/src/crypto/jwt.rs for what a verifier looks at.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "base/handle.h"
#include "base/result.h"
#include "jose/json.h"

namespace vhsm::jose {

inline constexpr std::chrono::seconds kTokenLeeway{60};

/// Signs `claims`; the header is {"alg":"ES256","jwk":{…,"x5c":[…]},"typ":"JWT"}.
/// @param key    P-256, private; used inside a ProtectedScope.
/// @param chain  its certificates, leaf first; none leaves x5c out.
/// @errors kUnsupported (another curve), kCrypto, kForked.
[[nodiscard]] Result<std::string> sign_token(const Json& claims, EVP_PKEY* key,
                                             std::span<const ossl::X509Cert> chain);

/// The claims of a token that is genuine and has not expired: ES256 by the header's jwk, which is
/// the key of the first certificate in x5c, whose chain ends in one of `trusted`, valid at `now`.
/// nbf, iss and aud are not looked at.
/// @errors kBadFormat, kUnsupported (algorithm), kUntrusted (chain), kBadSignature,
///         kNotAttested (expired), kCrypto.
[[nodiscard]] Result<Json> verify_token(std::string_view token, X509_STORE* trusted,
                                        std::chrono::system_clock::time_point now,
                                        std::chrono::seconds leeway = kTokenLeeway);

/// The claims as they stand, not verified: for a client that only plans ahead by `exp`.
/// @errors kBadFormat.
[[nodiscard]] Result<Json> unverified_claims(std::string_view token);

}  // namespace vhsm::jose
