// SPDX-License-Identifier: Apache-2.0
//
// The keys of section [snp_policy]: what each one allows, and how its value becomes part of a
// policy. Source: docs/man/vhsm-snp-policy.5.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "snp/policy_file.h"

namespace vhsm::snp::detail {

/// A policy that is being read.
struct PolicyDraft {
  VerifierPolicy policy;
  std::string folder;  ///< of the file, with a slash at its end, or empty
  bool any_minimum_tcb = false;
};

struct PolicyKey {
  std::string_view name;
  std::string_view allowed;  ///< the allowed values, for errors
  /// @errors any; the sentence says what is wrong with the value.
  Status (*apply)(PolicyDraft& draft, std::string_view value);
};

[[nodiscard]] std::span<const PolicyKey> policy_keys() noexcept;

}  // namespace vhsm::snp::detail
