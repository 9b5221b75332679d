// SPDX-License-Identifier: Apache-2.0
//
// The signature at the end of a report: ECDSA on P-384 over the SHA-384 of the bytes before it.
// Source: AMD 56860, table "Format for an ECDSA P-384 with SHA-384 Signature" (r and s
// little-endian in 72 bytes each).
#pragma once

#include <openssl/evp.h>

#include "base/result.h"
#include "snp/report.h"

namespace vhsm::snp {

/// @errors kBadSignature.
[[nodiscard]] Status check_signature(EVP_PKEY* key, const UnverifiedReport& report);

/// Signs `report` in place with the private P-384 `key`: for the emulator.
/// @errors kCrypto.
Status sign_report(EVP_PKEY* key, RawReport& report);

}  // namespace vhsm::snp
