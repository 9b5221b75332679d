// SPDX-License-Identifier: Apache-2.0
//
// vhsm report fetch.
#pragma once

#include "cli/console.h"

namespace vhsm::cli {

/// Adds the command to `report`; `console` outlives it.
void add_fetch_certificates(CLI::App& report, Console& console);

}  // namespace vhsm::cli
