// SPDX-License-Identifier: Apache-2.0
//
// The platform's report on what the keystore says of a key.
#pragma once

#include <memory>

#include "keystore/witness.h"
#include "snp/platform.h"

namespace vhsm {

/// Null without a platform.
std::shared_ptr<keystore::Witness> make_platform_witness(std::shared_ptr<snp::Platform> platform);

}  // namespace vhsm
