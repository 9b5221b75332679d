// SPDX-License-Identifier: Apache-2.0
//
// Reads what a KBS stores for a key pair: PKCS#8 (RFC 5958), SEC1 (RFC 5915) or PKCS#1 (RFC 8017,
// A.1.2) as DER or PEM, PEM bundles (RFC 7468) with certificates in any order, a JWK (RFC 7517) or
// a COSE_Key (RFC 9052, section 7).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "keystore/inner_context.h"
#include "memory/secret_bytes.h"

namespace vhsm::keystore {

inline constexpr std::size_t kMaxCertificates = 32;

struct Material {
  HeldPKey pair;                                        ///< null when there are only certificates
  std::vector<std::vector<std::uint8_t>> certificates;  ///< DER, in stored order
  std::string policy{};  ///< of a JWK or COSE_Key, as key_policy.h reads it; empty: none
};

/// Works in protected memory; `secret` is not changed.
/// @errors kBadFormat (nothing usable, trailing bytes, two private keys, the first certificate of a
///         JWK or COSE_Key is of another key; see also jwk.h), kUnsupported (encrypted
///         keys, key types that vhsm does not hold), kMemoryLimit.
Result<Material> parse_material(const SecretBytes& secret);

}  // namespace vhsm::keystore
