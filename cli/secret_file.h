// SPDX-License-Identifier: Apache-2.0
//
// Files with secrets: straight into protected memory, and out of it.
#pragma once

#include <string>

#include "base/result.h"
#include "memory/secret_bytes.h"

namespace vhsm::cli {

/// @param path  "-": standard input.
/// @errors kIo; kBadLength for more than a key may have.
Result<SecretBytes> read_secret_file(const std::string& path);

/// Whether wipe_file() can do its work: before the secret is sealed, as it would be said too late
/// afterwards.
/// @errors kInvalidArgument for standard input, anything but a regular file, and a file that has
///         other names; kIo for one that may not be written.
Status check_wipeable(const std::string& path);
/// Overwrites the file with zeros, once, and removes it. A file system may have kept copies.
/// @errors as check_wipeable(), kIo.
Status wipe_file(const std::string& path);

/// Makes a new file of mode 0600 with a new recovery key: 64 hex digits.
/// @return the key's 32 bytes.
/// @errors kIo, also when the file is there.
Result<SecretBytes> make_recovery_key(const std::string& path);
/// @errors kIo, kBadFormat.
Result<SecretBytes> read_recovery_key(const std::string& path);

}  // namespace vhsm::cli
