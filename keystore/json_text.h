// SPDX-License-Identifier: Apache-2.0
//
// JSON read where it lies: answers point into the text, which stays in protected memory. Nothing is
// copied, and nothing recurses deeply.
// Source: RFC 8259.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::keystore {

struct JsonMember {
  std::string_view name;
  std::string_view value;  ///< as it stands in the text
};

/// The members of the one object that `text` is.
/// @errors kBadFormat; also for a name that is there twice or is written with escapes, and for
///         values within more than 8 others.
Result<std::vector<JsonMember>> read_json_object(std::string_view text);

// ----- what a member's value is.  @errors kBadFormat for another kind of value.

/// Without escapes.
Result<std::string_view> json_string(std::string_view value);
/// What stands between the quotes, with escapes as they are written.
Result<std::vector<std::string_view>> json_strings(std::string_view value);
/// Not below 0; a fraction is cut off.
Result<std::uint64_t> json_number(std::string_view value);

}  // namespace vhsm::keystore
