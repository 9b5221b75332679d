// SPDX-License-Identifier: Apache-2.0
//
// What gives a private key away: its private numbers, numbers that OpenSSL computes from them and
// keeps, and the nonces of its signatures.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/handle.h"
#include "keystore/key_type.h"

namespace vhsm::tests {

using Bytes = std::vector<std::uint8_t>;

/// A named secret, in the order in which its standard writes it.
struct Value {
  std::string name;
  Bytes bytes;
  bool little_endian = false;  ///< seeds and scalars of RFC 7748 and RFC 8032
};

/// A signature of the key, and what was signed.
struct Signature {
  Bytes signature;  ///< as OpenSSL writes it
  Bytes message;
  std::string digest = "SHA256";  ///< Ed25519 has its own
};

/// The row of its type.
const keystore::KeyType& type_of(const EVP_PKEY* key);

/// The private parts of RSA, EC, Ed25519, X25519, ML-KEM, ML-DSA and SLH-DSA keys with what is
/// computed from them; of other types, the raw private key.
std::vector<Value> values_of_key(EVP_PKEY* key);

/// The nonce of an ECDSA or Ed25519 signature, and what gives it away. None for other types, and
/// none for a signature that the key has not made of this message.
std::vector<Value> values_of_signature(EVP_PKEY* key, const Signature& signature);

/// From a PEM file; null when it holds no private key without a passphrase.
ossl::PKey read_key(const std::string& path);

}  // namespace vhsm::tests
