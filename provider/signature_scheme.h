// SPDX-License-Identifier: Apache-2.0
//
// Signature algorithms whose name says all: the digest, or the instance of EdDSA. Programs on
// OpenSSL 3.4 and later fetch them by name (EVP_PKEY_sign_message_init(3)); a new one is a line.
#pragma once

#include <openssl/core.h>
#include <openssl/opensslv.h>

#include <array>
#include <string_view>

namespace vhsm::provider {

struct SignatureScheme {
  const char* names;     ///< as the default provider of OpenSSL 3.5 lists them
  const char* key_type;  ///< the only one that it takes
  const char* digest;    ///< of messages; empty: they are signed whole
  const char* instance;  ///< of EdDSA (RFC 8032, section 5); null: none
};

// No other aliases than OpenSSL's: hosts take all names in a row for one algorithm.
inline constexpr SignatureScheme kHashingSchemes[] = {
    {"RSA-RIPEMD160:ripemd160WithRSA:1.3.36.3.3.1.2", "RSA", "RIPEMD160", nullptr},
    {"RSA-SHA1:RSA-SHA-1:sha1WithRSAEncryption:1.2.840.113549.1.1.5", "RSA", "SHA1", nullptr},
    {"RSA-SHA2-224:RSA-SHA224:sha224WithRSAEncryption:1.2.840.113549.1.1.14", "RSA", "SHA2-224",
     nullptr},
    {"RSA-SHA2-256:RSA-SHA256:sha256WithRSAEncryption:1.2.840.113549.1.1.11", "RSA", "SHA2-256",
     nullptr},
    {"RSA-SHA2-384:RSA-SHA384:sha384WithRSAEncryption:1.2.840.113549.1.1.12", "RSA", "SHA2-384",
     nullptr},
    {"RSA-SHA2-512:RSA-SHA512:sha512WithRSAEncryption:1.2.840.113549.1.1.13", "RSA", "SHA2-512",
     nullptr},
    {"RSA-SHA2-512/224:RSA-SHA512-224:sha512-224WithRSAEncryption:1.2.840.113549.1.1.15", "RSA",
     "SHA2-512/224", nullptr},
    {"RSA-SHA2-512/256:RSA-SHA512-256:sha512-256WithRSAEncryption:1.2.840.113549.1.1.16", "RSA",
     "SHA2-512/256", nullptr},
    {"RSA-SHA3-224:id-rsassa-pkcs1-v1_5-with-sha3-224:2.16.840.1.101.3.4.3.13", "RSA", "SHA3-224",
     nullptr},
    {"RSA-SHA3-256:id-rsassa-pkcs1-v1_5-with-sha3-256:2.16.840.1.101.3.4.3.14", "RSA", "SHA3-256",
     nullptr},
    {"RSA-SHA3-384:id-rsassa-pkcs1-v1_5-with-sha3-384:2.16.840.1.101.3.4.3.15", "RSA", "SHA3-384",
     nullptr},
    {"RSA-SHA3-512:id-rsassa-pkcs1-v1_5-with-sha3-512:2.16.840.1.101.3.4.3.16", "RSA", "SHA3-512",
     nullptr},
    {"ECDSA-SHA1:ECDSA-SHA-1:ecdsa-with-SHA1:1.2.840.10045.4.1", "EC", "SHA1", nullptr},
    {"ECDSA-SHA2-224:ECDSA-SHA224:ecdsa-with-SHA224:1.2.840.10045.4.3.1", "EC", "SHA2-224",
     nullptr},
    {"ECDSA-SHA2-256:ECDSA-SHA256:ecdsa-with-SHA256:1.2.840.10045.4.3.2", "EC", "SHA2-256",
     nullptr},
    {"ECDSA-SHA2-384:ECDSA-SHA384:ecdsa-with-SHA384:1.2.840.10045.4.3.3", "EC", "SHA2-384",
     nullptr},
    {"ECDSA-SHA2-512:ECDSA-SHA512:ecdsa-with-SHA512:1.2.840.10045.4.3.4", "EC", "SHA2-512",
     nullptr},
    {"ECDSA-SHA3-224:ecdsa_with_SHA3-224:id-ecdsa-with-sha3-224:2.16.840.1.101.3.4.3.9", "EC",
     "SHA3-224", nullptr},
    {"ECDSA-SHA3-256:ecdsa_with_SHA3-256:id-ecdsa-with-sha3-256:2.16.840.1.101.3.4.3.10", "EC",
     "SHA3-256", nullptr},
    {"ECDSA-SHA3-384:ecdsa_with_SHA3-384:id-ecdsa-with-sha3-384:2.16.840.1.101.3.4.3.11", "EC",
     "SHA3-384", nullptr},
    {"ECDSA-SHA3-512:ecdsa_with_SHA3-512:id-ecdsa-with-sha3-512:2.16.840.1.101.3.4.3.12", "EC",
     "SHA3-512", nullptr},
};

inline constexpr SignatureScheme kWholeSchemes[] = {
    {"ED25519ph", "ED25519", "", "Ed25519ph"},
    {"ED25519ctx", "ED25519", "", "Ed25519ctx"},
    {"ED448ph", "ED448", "", "Ed448ph"},
};

/// Whether the private OpenSSL has the instances of EdDSA beside the plain ones.
inline constexpr bool kKnowsInstances = OPENSSL_VERSION_NUMBER >= 0x30200000L;

/// What selects the scheme's instance, ended by a null; points into `scheme`.
std::array<OSSL_PARAM, 2> instance_params(const SignatureScheme& scheme) noexcept;

/// What a program may set beside the name: descriptors, ended by a null.
const OSSL_PARAM* settable_params_of(const SignatureScheme& scheme) noexcept;

/// Whether parameter `name` would change what the scheme's name has fixed.
bool is_fixed(std::string_view name) noexcept;

}  // namespace vhsm::provider
