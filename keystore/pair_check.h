// SPDX-License-Identifier: Apache-2.0
//
// Whether a private and a public half belong together: under a foreign public half two Ed25519
// signatures would give the scalar away.
#pragma once

#include "base/result.h"
#include "keystore/public_half.h"

namespace vhsm::keystore {

/// Compares the pair with `half`, and what can be computed from its private part with its public
/// one: the point, or for RSA the modulus from the primes (SLH-DSA: check_pair() alone). For each
/// unshielding. Inside a scope.
/// @errors kCrypto.
Status check_parts(const PublicHalf& half, EVP_PKEY* pair);

/// The same and, for RSA, whose exponents are not told by that, a trial signature: for a pair from
/// outside.
/// @errors kBadFormat; kMemoryLimit. Not inside a scope.
Status check_pair(const PublicHalf& half, EVP_PKEY* pair);

}  // namespace vhsm::keystore
