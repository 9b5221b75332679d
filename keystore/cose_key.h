// SPDX-License-Identifier: Apache-2.0
//
// Reads a COSE_Key with a private or secret key. Certificates are expected under the label that
// x5chain has in a header (33), as none is registered for keys.
// Sources: RFC 9052, section 7; RFC 9053, section 7; RFC 8230, section 4; RFC 9360, section 2.
#pragma once

#include "base/cbor.h"
#include "base/result.h"
#include "keystore/spelled_key.h"

namespace vhsm::keystore {

/// Whether `bytes` are one CBOR map with a kty: no DER, no PEM and no JWK is.
[[nodiscard]] bool is_cose_key(ByteView bytes);
/// Whether it is a symmetric key, with its bytes: so much is no accident in a random key.
[[nodiscard]] bool is_symmetric_cose_key(ByteView bytes);

/// In a scope. Labels that are not known are ignored.
/// @errors as parse_jwk().
Result<SpelledKey> parse_cose_key(ByteView bytes);

}  // namespace vhsm::keystore
