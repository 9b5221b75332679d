// SPDX-License-Identifier: Apache-2.0
//
// Reads a JWK with a private or secret key.
// Sources: RFC 7517; RFC 7518, section 6; RFC 8037; `exp` and `nbf` as in RFC 7519, section 4.1.
#pragma once

#include <string_view>

#include "base/result.h"
#include "keystore/spelled_key.h"

namespace vhsm::keystore {

/// In a scope: secret members are decoded there, in a time that does not depend on them. Members
/// that are not known are ignored.
/// @errors kBadFormat: no JSON object, a member twice, a part missing or malformed, terms that
///         contradict each other; kUnsupported: a kty, crv, alg, use or key_ops, or other primes of
///         RSA (oth); kMemoryLimit.
Result<SpelledKey> parse_jwk(std::string_view text);

}  // namespace vhsm::keystore
