// SPDX-License-Identifier: Apache-2.0
//
// A version of a key as one line of vhsmd's protocol: name, version, on or off, pair or secret,
// made or imported, seconds since 1970, uses that are left (-: no limit), its type and the rules of
// its policy, with a blank between them. Source: docs/vhsmd-protocol.md.
#pragma once

#include <string>
#include <string_view>

#include "keystore/keystore.h"

namespace vhsm::keystore {

[[nodiscard]] std::string to_line(const KeyLine& line);
/// @errors kBadFormat, kBadUri.
Result<KeyLine> parse_list_line(std::string_view text);

}  // namespace vhsm::keystore
