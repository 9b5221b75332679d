// SPDX-License-Identifier: Apache-2.0
#include "snp/policy.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace vhsm::snp {
namespace {

using Report = VerifiedReport;
using Policy = ReportPolicy;

/// One line of the table below: all that is asked of a report, one thing each.
struct Check {
  std::string_view name;
  Literal refusal;
  bool (*asked)(const Policy& policy);
  bool (*holds)(const Report& report, const Policy& policy);
};

bool always(const Policy&) { return true; }

template <auto Member>
bool is_given(const Policy& policy) {
  return policy.*Member != std::remove_cvref_t<decltype(policy.*Member)>{};
}

/// Field F is on the list Member.
template <Field F, auto Member>
bool is_listed(const Report& report, const Policy& policy) {
  using T = typename std::remove_cvref_t<decltype(policy.*Member)>::value_type;
  return std::ranges::find(policy.*Member, report.octets<T, F>()) != (policy.*Member).end();
}

/// Field F has all of these bits.
template <Field F, auto Member>
bool has_bits(const Report& report, const Policy& policy) {
  return (report.number<F>() & policy.*Member) == policy.*Member;
}

/// The guest's POLICY does not permit what Allowed does not.
template <std::uint64_t Bit, bool Policy::*Allowed>
bool permits_no_more(const Report& report, const Policy& policy) {
  return policy.*Allowed || (report.number<field::kPolicy>() & Bit) == 0;
}

const MinimumTcb* minimum_for(const std::vector<MinimumTcb>& list, Product product) {
  const auto found = std::ranges::find(list, product, &MinimumTcb::product);
  return found == list.end() ? nullptr : &*found;
}

template <auto Member>
bool names_product(const Report& report, const Policy& policy) {
  return minimum_for(policy.*Member, report.product()) != nullptr;
}

template <Field F, auto Member>
bool reaches(const Report& report, const Policy& policy) {
  const MinimumTcb* const minimum = minimum_for(policy.*Member, report.product());
  const auto tcb = report.tcb<F>();
  return minimum != nullptr && tcb.ok() && covers(tcb.value(), minimum->tcb);
}

bool is_report_data(const Report& report, const Policy& policy) {
  const auto data = report.bytes<field::kReportData>();
  return policy.report_data.has_value() &&
         CRYPTO_memcmp(data.data(), policy.report_data->data(), data.size()) == 0;
}

bool has_no_agent(const Report& report) {
  return std::ranges::all_of(report.bytes<field::kReportIdMa>(),
                             [](std::uint8_t byte) { return byte == 0xFF; });
}

bool has_author_key(const Report& report) {
  return (report.number<field::kKeyInfo>() & key_bit::kAuthorKey) != 0;
}

bool author_vouches(const Report& report, const Policy& policy) {
  return has_author_key(report) &&
         is_listed<field::kAuthorKeyDigest, &Policy::author_key_digests>(report, policy);
}

bool has_id_block(const Report& report) {
  return report.octets<IdKeyDigest, field::kIdKeyDigest>() != IdKeyDigest{};
}

bool reaches_abi(const Report& report, const Policy& policy) {
  const auto bits = report.number<field::kPolicy>();
  const AbiVersion abi{static_cast<std::uint8_t>((bits & policy_bit::kAbiMajorMask) >> 8),
                       static_cast<std::uint8_t>(bits & policy_bit::kAbiMinorMask)};
  return abi >= policy.minimum_abi;
}

bool reaches_firmware(const Report& report, const Policy& policy) {
  const auto bytes = report.bytes<field::kCommittedVersion>();
  return FirmwareVersion{bytes[2], bytes[1], bytes[0]} >= policy.minimum_firmware;
}

bool is_committed(const Report& report, const Policy&) {
  return report.number<field::kCurrentTcb>() == report.number<field::kCommittedTcb>() &&
         report.number<field::kCurrentVersion>() == report.number<field::kCommittedVersion>();
}

template <Field F, auto Member>
bool is_mitigated(const Report& report, const Policy& policy) {
  return report.number<field::kVersion>() >= kFirstVersionWithMitigations &&
         has_bits<F, Member>(report, policy);
}

constexpr Check kChecks[] = {
    // What a guest permits its host.
    {"debugging", "the guest may be debugged by its host (POLICY.DEBUG)", always,
     permits_no_more<policy_bit::kDebugAllowed, &Policy::allow_debug>},
    {"migration", "the guest may be moved by a migration agent (POLICY.MIGRATE_MA)", always,
     permits_no_more<policy_bit::kMigrationAllowed, &Policy::allow_migration>},
    {"CXL memory", "the guest may use CXL memory (POLICY.CXL_ALLOW)", always,
     permits_no_more<policy_bit::kCxlAllowed, &Policy::allow_cxl>},
    {"SMT", "the guest may run beside a sibling thread (POLICY.SMT)", always,
     permits_no_more<policy_bit::kSmtAllowed, &Policy::allow_smt>},
    {"required policy", "the guest's POLICY lacks a required bit",
     is_given<&Policy::required_policy_bits>,
     has_bits<field::kPolicy, &Policy::required_policy_bits>},
    {"firmware interface", "the guest's POLICY accepts an older firmware interface (ABI)",
     is_given<&Policy::minimum_abi>, reaches_abi},
    {"migration agent", "the guest has a migration agent (REPORT_ID_MA)",
     [](const Policy& policy) { return !policy.allow_migration; },
     [](const Report& report, const Policy&) { return has_no_agent(report); }},
    {"which agent", "the report's REPORT_ID_MA is not on the list",
     is_given<&Policy::agent_report_ids>, is_listed<field::kReportIdMa, &Policy::agent_report_ids>},
    // Who asked, and for what.
    {"report data", "the report's REPORT_DATA is not the one asked for",
     [](const Policy& policy) { return !policy.any_report_data; }, is_report_data},
    {"asked by the guest", "the host asked for this report, not the guest (VMPL over 3)", always,
     [](const Report& report, const Policy&) { return report.number<field::kVmpl>() <= kMaxVmpl; }},
    {"VMPL", "the report is for another VMPL",
     [](const Policy& policy) { return !policy.any_vmpl; },
     [](const Report& report, const Policy& policy) {
       return report.number<field::kVmpl>() == policy.vmpl;
     }},
    // Which guest.
    {"measurement", "the report's MEASUREMENT is not on the list", is_given<&Policy::measurements>,
     is_listed<field::kMeasurement, &Policy::measurements>},
    {"host data", "the report's HOST_DATA is not on the list", is_given<&Policy::host_data>,
     is_listed<field::kHostData, &Policy::host_data>},
    {"ID block", "the guest was launched without an ID block", is_given<&Policy::require_id_block>,
     [](const Report& report, const Policy&) { return has_id_block(report); }},
    {"with author key", "no author key signed the guest's ID key",
     is_given<&Policy::require_author_key>,
     [](const Report& report, const Policy&) { return has_author_key(report); }},
    {"ID key", "the report's ID_KEY_DIGEST is not on the list", is_given<&Policy::id_key_digests>,
     [](const Report& report, const Policy& policy) {
       return is_listed<field::kIdKeyDigest, &Policy::id_key_digests>(report, policy) ||
              author_vouches(report, policy);
     }},
    {"author key", "the report's AUTHOR_KEY_DIGEST is not on the list",
     [](const Policy& policy) {
       return !policy.author_key_digests.empty() && policy.id_key_digests.empty();
     },
     author_vouches},
    {"family", "the report's FAMILY_ID is not on the list", is_given<&Policy::family_ids>,
     is_listed<field::kFamilyId, &Policy::family_ids>},
    {"image", "the report's IMAGE_ID is not on the list", is_given<&Policy::image_ids>,
     is_listed<field::kImageId, &Policy::image_ids>},
    {"guest SVN", "the report's GUEST_SVN is below the minimum",
     is_given<&Policy::minimum_guest_svn>,
     [](const Report& report, const Policy& policy) {
       return report.number<field::kGuestSvn>() >= policy.minimum_guest_svn;
     }},
    {"report id", "the report's REPORT_ID is not on the list", is_given<&Policy::report_ids>,
     is_listed<field::kReportId, &Policy::report_ids>},
    // Which machine.
    {"allowed product", "the report's product is not on the list", is_given<&Policy::products>,
     [](const Report& report, const Policy& policy) {
       return std::ranges::find(policy.products, report.product()) != policy.products.end();
     }},
    {"allowed chip", "the report's CHIP_ID is not on the list", is_given<&Policy::chip_ids>,
     is_listed<field::kChipId, &Policy::chip_ids>},
    {"required platform", "the report's PLATFORM_INFO lacks a required bit",
     is_given<&Policy::required_platform_bits>,
     has_bits<field::kPlatformInfo, &Policy::required_platform_bits>},
    {"forbidden platform", "the report's PLATFORM_INFO has a forbidden bit",
     is_given<&Policy::forbidden_platform_bits>,
     [](const Report& report, const Policy& policy) {
       return (report.number<field::kPlatformInfo>() & policy.forbidden_platform_bits) == 0;
     }},
    // Which firmware.
    {"minimum for product", "no minimum TCB is set for the report's product",
     is_given<&Policy::minimum_tcb>, names_product<&Policy::minimum_tcb>},
    {"reported TCB", "the report's REPORTED_TCB is below the minimum",
     is_given<&Policy::minimum_tcb>, reaches<field::kReportedTcb, &Policy::minimum_tcb>},
    {"committed TCB", "the report's COMMITTED_TCB is below the minimum",
     is_given<&Policy::minimum_tcb>, reaches<field::kCommittedTcb, &Policy::minimum_tcb>},
    {"launch TCB", "the report's LAUNCH_TCB is below the minimum", is_given<&Policy::minimum_tcb>,
     reaches<field::kLaunchTcb, &Policy::minimum_tcb>},
    {"own minimum at launch", "the report's LAUNCH_TCB is below its own minimum",
     is_given<&Policy::minimum_launch_tcb>,
     reaches<field::kLaunchTcb, &Policy::minimum_launch_tcb>},
    {"firmware version", "the committed firmware is older than the minimum",
     is_given<&Policy::minimum_firmware>, reaches_firmware},
    {"committed firmware", "the firmware is provisional: the host can take it back",
     [](const Policy& policy) { return !policy.allow_provisional_firmware; }, is_committed},
    {"launch mitigations", "the report's LAUNCH_MIT_VECTOR lacks a required bit",
     is_given<&Policy::required_launch_mitigations>,
     is_mitigated<field::kLaunchMitigations, &Policy::required_launch_mitigations>},
    {"current mitigations", "the report's CURRENT_MIT_VECTOR lacks a required bit",
     is_given<&Policy::required_current_mitigations>,
     is_mitigated<field::kCurrentMitigations, &Policy::required_current_mitigations>},
};

Status outcome_of(const Check& check, const Report& report, const Policy& policy) {
  if (check.holds(report, policy)) return {};
  return fail(Errc::kPolicyRefused, check.refusal);
}

}  // namespace

ReportPolicy standing_rules() {
  ReportPolicy policy;
  policy.any_report_data = true;
  policy.any_vmpl = true;
  policy.any_measurement = true;
  return policy;
}

Status check_complete(const ReportPolicy& policy) {
  if (policy.report_data.has_value() == policy.any_report_data) {
    return fail(Errc::kInvalidArgument,
                "the report policy does not say which REPORT_DATA is right");
  }
  if (policy.vmpl.has_value() == policy.any_vmpl || policy.vmpl.value_or(0) > kMaxVmpl) {
    return fail(Errc::kInvalidArgument,
                "the report policy does not say which VMPL (0 to 3) is right");
  }
  const bool keys = !policy.id_key_digests.empty() || !policy.author_key_digests.empty();
  if (policy.any_measurement ? !policy.measurements.empty()
                             : policy.measurements.empty() && !keys) {
    return fail(Errc::kInvalidArgument,
                "the report policy must list measurements, ID keys or author keys, or accept any "
                "measurement");
  }
  return {};
}

Status judge(const VerifiedReport& report, const ReportPolicy& policy, Findings* findings) {
  VHSM_TRY(check_complete(policy));
  Status verdict;
  for (const Check& check : kChecks) {
    if (!check.asked(policy)) {
      note(findings, check.name, Outcome::kNotAsked);
      continue;
    }
    const Status found = outcome_of(check, report, policy);
    note(findings, check.name, found);
    if (verdict.ok()) verdict = found;
  }
  return verdict;
}

}  // namespace vhsm::snp
