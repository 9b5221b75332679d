// SPDX-License-Identifier: Apache-2.0
//
// Keys taken apart.
#pragma once

#include <openssl/evp.h>

#include <string>

#include "base/handle.h"

namespace vhsm::tests {

/// The private half of `key` with the public half of another key of its kind: RSA or EC, which
/// OpenSSL does not compare.
ossl::PKey with_foreign_public_half(EVP_PKEY* key);

/// Writes the same as EVP_PKEY_fromdata would take it, as residue_host's "refuse-parts" reads it.
void write_mixed_parts(EVP_PKEY* key, const std::string& path);

}  // namespace vhsm::tests
