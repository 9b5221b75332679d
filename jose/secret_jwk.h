// SPDX-License-Identifier: Apache-2.0
//
// The form in which the owner of a secret says that it may come out: a JWK of the type "oct" whose
// `key_ops` are ["release"] (RFC 7517, section 4.3 allows other values). KBS and sealed folder
// store it as it is.
//
//   {"kty":"oct","key_ops":["release"],"k":"c2VzYW1l"}
#pragma once

#include "base/result.h"
#include "memory/secret_bytes.h"

namespace vhsm::jose {

/// Works in protected memory.
/// @errors kMemoryLimit.
Result<SecretBytes> releasable(const SecretBytes& secret);

}  // namespace vhsm::jose
