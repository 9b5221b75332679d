// SPDX-License-Identifier: Apache-2.0
//
// Names and types of the parameters that a key type's management reads and writes.
// Source: EVP_PKEY-RSA(7), EVP_PKEY-EC(7), EVP_PKEY-X25519(7), OpenSSL 3.0;
// EVP_PKEY-ML-KEM(7), EVP_PKEY-ML-DSA(7), EVP_PKEY-SLH-DSA(7), OpenSSL 3.5.
#pragma once

#include <openssl/core.h>

#include "keystore/key_type.h"

namespace vhsm::provider {

/// OSSL_PARAM descriptors; static lifetime.
struct KeyParams {
  const OSSL_PARAM* gettable;     ///< public names only
  const OSSL_PARAM* settable;     ///< null: none
  const OSSL_PARAM* public_part;  ///< what import and export of a public key carry
  const OSSL_PARAM* key_pair;     ///< what import of a key pair carries
};

[[nodiscard]] const KeyParams& key_params(const keystore::KeyType& type) noexcept;

}  // namespace vhsm::provider
