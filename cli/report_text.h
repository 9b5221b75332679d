// SPDX-License-Identifier: Apache-2.0
//
// A report for people and for programs: every field by its name in AMD's specification.
// Source: AMD 56860, tables ATTESTATION_REPORT, POLICY, PLATFORM_INFO, KEY_INFO, TCB_VERSION.
#pragma once

#include <string>

#include "cli/console.h"
#include "snp/report.h"

namespace vhsm::cli {

/// Byte fields as hex, numbers as numbers, bit fields also as lists of what is set.
[[nodiscard]] Json report_json(const snp::UnverifiedReport& report);

/// report_json() as lines of "name  value".
[[nodiscard]] std::string report_text(const snp::UnverifiedReport& report);

}  // namespace vhsm::cli
