// SPDX-License-Identifier: Apache-2.0
//
// Resources on their way from the KBS to the VM: flattened JSON JWE, ECDH-ES+A256KW or RSA-OAEP-256
// with A256GCM.
// Source: RFC 7516, section 7.2.2; RFC 7518, sections 4.3, 4.6 and 5.3; Trustee kbs/src/jwe/mod.rs
// for the byte layout (its client rebuilds the protected header instead of reading it).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/handle.h"
#include "base/result.h"
#include "jose/jwk.h"
#include "memory/secret_bytes.h"

namespace vhsm::jose {

/// {"protected","encrypted_key","aad","iv","ciphertext","tag"} in this order, compact.
/// @param plaintext  any bytes, also none; only read inside a ProtectedScope.
/// @param aad  stands there in the clear and is authenticated with the rest (RFC 7516, section
///             7.2.2); empty: there is no such member.
/// @errors kUnsupported unless the key's alg is the one that keys of its type have; kBadFormat (the
///         key); kCrypto, kMemoryLimit, kForked.
[[nodiscard]] Result<std::string> encrypt(std::span<const std::uint8_t> plaintext,
                                          const TeeJwk& recipient, std::string_view aad = {});

/// The `aad` of a JWE: authentic only if decrypt() takes it.
/// @errors kBadFormat (subject: the member), also when there is none.
[[nodiscard]] Result<std::string> aad_of(std::string_view flattened_json);

/// Opens what encrypt() or any other RFC 7516 sender made for `tee_key` by its own algorithm.
/// @errors kBadFormat when it is malformed or uses what was not offered (subject: the member);
///         kForged when it does not authenticate; kCrypto, kMemoryLimit, kForked.
[[nodiscard]] Result<SecretBytes> decrypt(std::string_view flattened_json, EVP_PKEY* tee_key);

}  // namespace vhsm::jose
