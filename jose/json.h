// SPDX-License-Identifier: Apache-2.0
//
// JSON from outside: parsed without exceptions, read with the type checked.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

#include "base/result.h"

namespace vhsm::jose {

using Json = nlohmann::json;

/// Parses text that must be one JSON object.
/// @errors kBadFormat.
[[nodiscard]] Result<Json> parse_object(std::string_view text);

/// Member `name` of `object`; null when there is none or `object` is no object.
[[nodiscard]] const Json* find_member(const Json& object, std::string_view name);

/// The string member `name`; the view lives as long as `object`.
/// @errors kBadFormat (subject: the name).
[[nodiscard]] Result<std::string_view> text_member(const Json& object, std::string_view name);

}  // namespace vhsm::jose
