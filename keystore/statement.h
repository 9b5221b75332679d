// SPDX-License-Identifier: Apache-2.0
//
// What the keystore says of a key pair: it alone knows where the key comes from.
#pragma once

#include "keystore/cabinet.h"
#include "keystore/witness.h"

namespace vhsm::keystore {

/// Without a nonce.
/// @errors as Keystore::open(); kUnsupported for a symmetric key; kNoPrivateKey.
Result<KeyClaims> statement_of(const Cabinet& cabinet, const KeyUri& uri);

}  // namespace vhsm::keystore
