// SPDX-License-Identifier: Apache-2.0
//
// Whether evidence of a key is genuine, and whether what it says may be accepted. Needs nothing but
// roots: no platform, no KBS, no keystore.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "evidence/presented.h"
#include "keystore/witness.h"
#include "snp/findings.h"
#include "snp/policy_file.h"
#include "snp/verify.h"

namespace vhsm::evidence {

/// What whoever verifies asks for.
struct Expectations {
  /// Of the VM. Which report data is right is not asked: it follows from the claims.
  snp::VerifierPolicy machine;
  std::optional<Bytes> nonce;  ///< that the evidence must have
  /// What is accepted beside a key that was generated, that nobody else can open and that cannot
  /// leave: "imported", "fetched", "restored",
  /// "kbs-receiver"; "kbs", "recovery", "snp" (who else can open what it
  /// is sealed in); "backup" (its policy lets it leave for another machine).
  std::vector<std::string> allowed;
};

/// Whether `word` may stand in Expectations::allowed.
[[nodiscard]] bool can_be_allowed(std::string_view word) noexcept;

struct KeyVerdict {
  snp::Findings findings;
  std::optional<keystore::KeyClaims> claims;  ///< if they can be read; true only if it is genuine
  std::optional<snp::VerifiedReport> report;  ///< if the report is genuine and binds the claims
  Status accepted;                            ///< the first check that failed
};

/// In this order: the request's or certificate's signature, the report (snp::verify), that it binds
/// the claims, the policy of the machine, the public key, the nonce, the origin, who else opens it,
/// whether it may leave. Each is looked at, so that the findings say all that is wrong.
/// @errors in KeyVerdict::accepted: kBadFormat, those of snp::verify() and snp::judge(),
///         kPolicyRefused, kInvalidArgument for a policy that asks for a report data of its own.
[[nodiscard]] KeyVerdict judge_key(const Presented& presented, const snp::Roots& roots,
                                   const Expectations& expected);

}  // namespace vhsm::evidence
