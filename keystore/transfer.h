// SPDX-License-Identifier: Apache-2.0
//
// How a key leaves a folder for another one (backup.h is what it travels in), and how it comes.
#pragma once

#include <string>
#include <string_view>

#include "keystore/backup.h"
#include "keystore/cabinet.h"

namespace vhsm::keystore {

/// @errors as HoldingKeystore::backup(), for a key of the folder.
Result<std::string> take_out(const Cabinet& cabinet, const KeyUri& uri,
                             const BackupReceiver& receiver);

/// @param claims  read_backup() of it.
/// @param uri  what it becomes here.
/// @errors as HoldingKeystore::restore().
Result<KeyLine> bring_in(const Cabinet& cabinet, std::string_view backup,
                         const BackupClaims& claims, const KeyUri& uri);

}  // namespace vhsm::keystore
