// SPDX-License-Identifier: Apache-2.0
//
// What a genuine report must say to be accepted. The default refuses everything: whoever verifies
// must say which REPORT_DATA, VMPL and guest are right.
// Source: AMD 56860, tables ATTESTATION_REPORT, POLICY and PLATFORM_INFO.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "snp/findings.h"
#include "snp/verify.h"

namespace vhsm::snp {

struct MinimumTcb {
  Product product;
  Tcb tcb;
  friend bool operator==(const MinimumTcb&, const MinimumTcb&) = default;
};

/// Of the guest's POLICY: the firmware interface that it needs.
struct AbiVersion {
  std::uint8_t major = 0;
  std::uint8_t minor = 0;
  friend auto operator<=>(const AbiVersion&, const AbiVersion&) = default;
};

struct FirmwareVersion {
  std::uint8_t major = 0;
  std::uint8_t minor = 0;
  std::uint8_t build = 0;
  friend auto operator<=>(const FirmwareVersion&, const FirmwareVersion&) = default;
};

/// An empty list accepts anything, a list one of its values, unless a line says otherwise.
struct ReportPolicy {
  // Required: judge() refuses to run unless each of these is given, or said aloud to be any.
  std::optional<ReportData> report_data;  ///< binds nonce and key: exact, compared in constant time
  bool any_report_data = false;
  std::optional<std::uint32_t> vmpl;  ///< exact, 0..3
  bool any_vmpl = false;              ///< of the guest: what the host asks for is always refused
  // Which guest: at least one of these lists. All that are given must fit, but that an author key
  // on its list vouches for any ID key.
  std::vector<Measurement> measurements;
  std::vector<IdKeyDigest> id_key_digests;
  std::vector<AuthorKeyDigest> author_key_digests;
  bool any_measurement = false;

  bool require_id_block = false;    ///< an ID key signed what was launched
  bool require_author_key = false;  ///< an author key signed the ID key
  std::vector<FamilyId> family_ids;
  std::vector<ImageId> image_ids;
  std::vector<HostData> host_data;
  std::vector<ReportId> report_ids;
  std::vector<AgentReportId> agent_report_ids;
  std::uint32_t minimum_guest_svn = 0;

  bool allow_debug = false;      ///< POLICY.DEBUG: the host can read the guest's memory
  bool allow_migration = false;  ///< POLICY.MIGRATE_MA, REPORT_ID_MA: an agent can move the guest
  bool allow_cxl = false;
  bool allow_smt = true;                   ///< clouds set it; siblings share caches
  std::uint64_t required_policy_bits = 0;  ///< of policy_bit, e.g. kPageSwapDisabled
  AbiVersion minimum_abi;

  std::vector<Product> products;
  std::vector<ChipId> chip_ids;
  std::uint64_t required_platform_bits = 0;  ///< of platform_bit, e.g. kAliasCheckComplete
  std::uint64_t forbidden_platform_bits = platform_bit::kTio | platform_bit::kReservedMask;

  /// Holds for REPORTED, COMMITTED and LAUNCH TCB. When not empty, a product that is not named is
  /// refused.
  std::vector<MinimumTcb> minimum_tcb;
  std::vector<MinimumTcb> minimum_launch_tcb;  ///< the same, for LAUNCH_TCB alone
  FirmwareVersion minimum_firmware;            ///< of the committed version
  /// Firmware that the host can take back: its current version and TCB are not the committed ones.
  /// Clouds have it; the minimum TCB holds for the committed one all the same.
  bool allow_provisional_firmware = true;
  /// Bits of LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR that must be set. Reports below version 5
  /// have none.
  std::uint64_t required_launch_mitigations = 0;
  std::uint64_t required_current_mitigations = 0;
};

/// What holds for every guest, whoever it is: no debugger, no migration agent, no CXL memory, asked
/// for by the guest itself. Compares nothing that only the verifier knows.
[[nodiscard]] ReportPolicy standing_rules();

/// Judges what a genuine report says.
/// @param findings  if not null, gets one line for each check, after the first that fails too.
/// @errors kInvalidArgument when `policy` lacks one of its required parts.
///         kPolicyRefused: the sentence names the first check that failed.
[[nodiscard]] Status judge(const VerifiedReport& report, const ReportPolicy& policy,
                           Findings* findings = nullptr);

/// Whether `policy` has its required parts.
/// @errors kInvalidArgument.
[[nodiscard]] Status check_complete(const ReportPolicy& policy);

}  // namespace vhsm::snp
