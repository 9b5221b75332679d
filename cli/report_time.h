// SPDX-License-Identifier: Apache-2.0
//
// Points in time as operators write them.
// Source: RFC 3339, section 5.6.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"

namespace vhsm::cli {

/// "2026-01-31T12:00:00Z" or "2026-01-31T13:00:00+01:00"; fractions of a second are dropped.
/// @errors kInvalidArgument.
[[nodiscard]] Result<std::chrono::system_clock::time_point> parse_time(const std::string& text);

}  // namespace vhsm::cli
