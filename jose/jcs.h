// SPDX-License-Identifier: Apache-2.0
//
// One spelling for each JSON value, so that both ends hash the same bytes.
// Source: RFC 8785 (JSON Canonicalization Scheme).
#pragma once

#include <string>

#include "jose/json.h"

namespace vhsm::jose {

/// Compact, members sorted by name, UTF-8 not escaped. Exact for objects, arrays, strings,
/// booleans and integers up to 2^53; floating-point numbers are not used here. Member names must
/// be ASCII (RFC 8785 sorts by UTF-16). Never throws: bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string canonical(const Json& value);

}  // namespace vhsm::jose
