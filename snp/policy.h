// SPDX-License-Identifier: Apache-2.0
//
// What a genuine report must say to be accepted. The default refuses everything: whoever verifies
// must say which REPORT_DATA, VMPL and measurement are right.
// Source: AMD 56860, tables POLICY and PLATFORM_INFO.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "snp/verify.h"

namespace vhsm::snp {

struct MinimumTcb {
  Product product;
  Tcb tcb;
};

struct ReportPolicy {
  // Required: judge() refuses to run without these three.
  std::optional<ReportData> report_data;  ///< binds nonce and key: exact, compared in constant time
  std::optional<std::uint32_t> vmpl;      ///< exact, 0..3
  std::vector<Measurement> measurements;  ///< any one of them
  bool any_measurement = false;           ///< says aloud that no measurement is asked for

  bool allow_debug = false;      ///< POLICY.DEBUG: the host can read the guest's memory
  bool allow_migration = false;  ///< POLICY.MIGRATE_MA: a migration agent can move the guest
  bool allow_cxl = false;
  bool allow_smt = true;                     ///< clouds set it; siblings share caches
  std::uint64_t required_policy_bits = 0;    ///< of policy_bit, e.g. kPageSwapDisabled
  std::uint64_t required_platform_bits = 0;  ///< of platform_bit, e.g. kAliasCheckComplete

  /// Holds for REPORTED, COMMITTED and LAUNCH TCB. When not empty, a product that is not named is
  /// refused.
  std::vector<MinimumTcb> minimum_tcb;
  std::uint32_t minimum_guest_svn = 0;
  std::optional<HostData> host_data;
  std::vector<Product> products;            ///< empty: any
  std::vector<ChipId> chip_ids;             ///< empty: any
  std::vector<IdKeyDigest> id_key_digests;  ///< empty: any
};

/// Judges what a genuine report says.
/// @errors kInvalidArgument when `policy` lacks one of its three required parts.
///         kPolicyRefused: the sentence names the check that failed.
[[nodiscard]] Status judge(const VerifiedReport& report, const ReportPolicy& policy);

}  // namespace vhsm::snp
