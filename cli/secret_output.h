// SPDX-License-Identifier: Apache-2.0
//
// Where a secret may go: a pipe, a file, a socket, a kernel keyring; a terminal only when told to.
// The kernel takes the bytes from protected memory itself.
#pragma once

#include <string>

#include "base/result.h"
#include "memory/secret_bytes.h"

namespace vhsm::cli {

/// @param terminal  it may be one.
/// @errors kInvalidArgument for a descriptor that is not open, or is a terminal; kIo, also when
///         nobody reads the pipe any more.
Status write_to_descriptor(int descriptor, const SecretBytes& secret, bool terminal);

/// Before the secret is fetched: whether it could go there.  @errors kInvalidArgument.
Status check_descriptor(int descriptor, bool terminal);

/// As a key of the type "user" (keyrings(7)), in the place of one that has this description.
/// @param keyring  "session", "user", or the number of one.
/// @return its serial number.
/// @errors kInvalidArgument; kBadLength for more than such a key may have; kIo.
Result<long> add_to_keyring(const std::string& keyring, const std::string& description,
                            const SecretBytes& secret);

}  // namespace vhsm::cli
