// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace vhsm::cli {

/// The name of what another program gets as its arguments, behind --: they may be empty.
inline constexpr const char* kForeignArguments = "COMMAND";

}  // namespace vhsm::cli
