// SPDX-License-Identifier: Apache-2.0
//
// Makes the private OpenSSL fetch every algorithm that keys need once outside a scope. What it
// fetches it keeps: inside a scope some 300 KiB of its bookkeeping would stay in the arena.
#pragma once

#include "base/result.h"

namespace vhsm::keystore {

/// The first call in a process does the work (a few milliseconds). Thread-safe.
/// @errors kCrypto.
Status warm_up();

}  // namespace vhsm::keystore
