// SPDX-License-Identifier: Apache-2.0
//
// What each check of a report has found: the reasons of a verdict.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::snp {

enum class Outcome : std::uint8_t {
  kPassed,
  kFailed,
  kNotAsked,    ///< the options or the policy do not ask for it
  kNotReached,  ///< an earlier check failed, without which it means nothing
};

/// One check.
struct Finding {
  std::string_view check;  ///< a literal, such as "signature"
  Outcome outcome;
  std::string reason;  ///< only of one that failed: what is wrong, in one line
};
using Findings = std::vector<Finding>;

/// Appends to `findings`, unless it is null.
void note(Findings* findings, std::string_view check, Outcome outcome);
void note(Findings* findings, std::string_view check, const Status& status);

/// "passed", "failed", "not asked", "not reached".
[[nodiscard]] std::string_view outcome_name(Outcome outcome) noexcept;

/// [{"check": "signature", "outcome": "failed", "reason": "..."}, ...]; reason only where it
/// failed.
[[nodiscard]] nlohmann::ordered_json to_json(const Findings& findings);

/// A line for each check, but one together for those that were not asked for.
[[nodiscard]] std::string to_text(const Findings& findings);

}  // namespace vhsm::snp
