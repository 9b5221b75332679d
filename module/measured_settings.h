// SPDX-License-Identifier: Apache-2.0
//
// Trust that is bound to the VM's launch: with require_init_data whoever controls a disk of the VM
// cannot send it to a KBS of their own.
#pragma once

#include "base/result.h"
#include "base/settings.h"
#include "snp/platform.h"

namespace vhsm {

/// Where `settings` require it: reads init-data, asks `platform` for a report, and takes from
/// init-data whom to trust if the report's HOST_DATA is its hash. Else does nothing.
/// @param platform  null: there is none.
/// @errors kNoPlatform; kUnsupported for a platform whose reports may be stored ones; kIo;
///         kBadFormat and kBadConfig for init-data; those of Platform::attest().
Status take_init_data(Settings& settings, snp::Platform* platform);

}  // namespace vhsm
