// SPDX-License-Identifier: Apache-2.0
//
// A private key of an operator, for one command.
#pragma once

#include <string>

#include "base/handle.h"
#include "base/result.h"

namespace vhsm::cli {

/// Reads an unencrypted private key in PEM straight into protected memory. memory::initialise()
/// first; use the key in scopes.
/// @errors kIo, kBadFormat (subject: the file), kMemoryLimit.
[[nodiscard]] Result<ossl::PKey> read_signing_key(const std::string& path);

}  // namespace vhsm::cli
