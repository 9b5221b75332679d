// SPDX-License-Identifier: Apache-2.0
#include "snp/policy.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

namespace vhsm::snp {
namespace {

Error refuse(Literal what, const Subject& subject = {}) {
  return fail(Errc::kPolicyRefused, what, subject);
}

/// Empty lists accept anything; others must hold `value`.
template <class T>
bool accepts(const std::vector<T>& list, const T& value) {
  return list.empty() || std::ranges::find(list, value) != list.end();
}

Status check_complete(const ReportPolicy& policy) {
  if (!policy.report_data.has_value()) {
    return fail(Errc::kInvalidArgument,
                "the report policy does not say which REPORT_DATA is right");
  }
  if (!policy.vmpl.has_value() || *policy.vmpl > kMaxVmpl) {
    return fail(Errc::kInvalidArgument,
                "the report policy does not say which VMPL (0 to 3) is right");
  }
  if (policy.measurements.empty() != policy.any_measurement) {
    return fail(Errc::kInvalidArgument,
                "the report policy must either list measurements or accept any of them");
  }
  return {};
}

Status check_binding(const VerifiedReport& report, const ReportPolicy& policy) {
  const auto data = report.bytes<field::kReportData>();
  if (CRYPTO_memcmp(data.data(), policy.report_data->data(), data.size()) != 0) {
    return refuse("the report's REPORT_DATA is not the one asked for");
  }
  const std::uint64_t vmpl = report.number<field::kVmpl>();
  if (vmpl > kMaxVmpl) return refuse("the host asked for this report, not the guest (VMPL over 3)");
  if (vmpl != *policy.vmpl) return refuse("the report is for another VMPL");
  return {};
}

struct Permission {
  std::uint64_t bit;
  bool ReportPolicy::*allowed;
  Literal refusal;
};

Status check_guest_policy(const VerifiedReport& report, const ReportPolicy& policy) {
  const std::array<Permission, 4> permissions{{
      {policy_bit::kDebugAllowed, &ReportPolicy::allow_debug,
       "the guest may be debugged by its host (POLICY.DEBUG)"},
      {policy_bit::kMigrationAllowed, &ReportPolicy::allow_migration,
       "the guest may be moved by a migration agent (POLICY.MIGRATE_MA)"},
      {policy_bit::kCxlAllowed, &ReportPolicy::allow_cxl,
       "the guest may use CXL memory (POLICY.CXL_ALLOW)"},
      {policy_bit::kSmtAllowed, &ReportPolicy::allow_smt,
       "the guest may run beside a sibling thread (POLICY.SMT)"},
  }};
  const std::uint64_t bits = report.number<field::kPolicy>();
  for (const Permission& permission : permissions) {
    if ((bits & permission.bit) != 0 && !(policy.*permission.allowed)) {
      return refuse(permission.refusal);
    }
  }
  if ((bits & policy.required_policy_bits) != policy.required_policy_bits) {
    return refuse("the guest's POLICY lacks a required bit");
  }
  const auto agent = report.bytes<field::kReportIdMa>();
  if (!policy.allow_migration &&
      !std::ranges::all_of(agent, [](std::uint8_t byte) { return byte == 0xFF; })) {
    return refuse("the guest has a migration agent (REPORT_ID_MA)");
  }
  return {};
}

Status check_identity(const VerifiedReport& report, const ReportPolicy& policy) {
  if (!policy.any_measurement && !accepts(policy.measurements, report.measurement())) {
    return refuse("the report's MEASUREMENT is not on the list");
  }
  if (policy.host_data.has_value() && report.host_data() != *policy.host_data) {
    return refuse("the report's HOST_DATA is not the one asked for");
  }
  if (!accepts(policy.id_key_digests, report.id_key_digest())) {
    return refuse("the report's ID_KEY_DIGEST is not on the list");
  }
  if (report.number<field::kGuestSvn>() < policy.minimum_guest_svn) {
    return refuse("the report's GUEST_SVN is below the minimum");
  }
  return {};
}

Status check_machine(const VerifiedReport& report, const ReportPolicy& policy) {
  if (!accepts(policy.products, report.product())) {
    return refuse("the report's product is not on the list", product_name(report.product()));
  }
  if (!accepts(policy.chip_ids, report.chip_id())) {
    return refuse("the report's CHIP_ID is not on the list");
  }
  const std::uint64_t info = report.number<field::kPlatformInfo>();
  if ((info & policy.required_platform_bits) != policy.required_platform_bits) {
    return refuse("the report's PLATFORM_INFO lacks a required bit");
  }
  return {};
}

Status check_minimum_tcb(const VerifiedReport& report, const ReportPolicy& policy) {
  if (policy.minimum_tcb.empty()) return {};
  const auto minimum =
      std::ranges::find(policy.minimum_tcb, report.product(), &MinimumTcb::product);
  if (minimum == policy.minimum_tcb.end()) {
    return refuse("no minimum TCB is set for the report's product", product_name(report.product()));
  }
  const Tcb reported = VHSM_TRY(report.tcb<field::kReportedTcb>());
  const Tcb committed = VHSM_TRY(report.tcb<field::kCommittedTcb>());
  const Tcb launch = VHSM_TRY(report.tcb<field::kLaunchTcb>());
  if (!covers(reported, minimum->tcb))
    return refuse("the report's REPORTED_TCB is below the minimum");
  if (!covers(committed, minimum->tcb)) {
    return refuse("the report's COMMITTED_TCB is below the minimum");
  }
  if (!covers(launch, minimum->tcb)) return refuse("the report's LAUNCH_TCB is below the minimum");
  return {};
}

}  // namespace

Status judge(const VerifiedReport& report, const ReportPolicy& policy) {
  VHSM_TRY(check_complete(policy));
  VHSM_TRY(check_guest_policy(report, policy));
  VHSM_TRY(check_binding(report, policy));
  VHSM_TRY(check_identity(report, policy));
  VHSM_TRY(check_machine(report, policy));
  return check_minimum_tcb(report, policy);
}

}  // namespace vhsm::snp
