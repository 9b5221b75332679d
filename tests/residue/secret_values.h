// SPDX-License-Identifier: Apache-2.0
//
// What gives a symmetric key away.
#pragma once

#include <vector>

#include "tests/residue/values.h"

namespace vhsm::tests {

/// A key of 32 bytes, what HMAC-SHA-256 makes of it (RFC 2104), and the round keys of AES-256 with
/// the hash key of GCM.
std::vector<Value> values_of_secret(const Bytes& key);

}  // namespace vhsm::tests
