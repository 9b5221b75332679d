// SPDX-License-Identifier: Apache-2.0
#include "snp/policy.h"

#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

VerifiedReport genuine(const Draft& draft = Draft()) {
  VerifyOptions options;
  return verify(forge(draft), test_roots(), options).value();
}

/// The least that a policy must say, and that a Draft fits.
ReportPolicy fitting() {
  ReportPolicy policy;
  policy.report_data.emplace();
  policy.vmpl = 0;
  policy.measurements = {Draft().state.measurement};
  return policy;
}

std::string refusal(const char* sentence) { return std::string("refused by policy: ") + sentence; }

TEST(PolicyTest, AFittingReportPasses) { EXPECT_EQ(outcome(judge(genuine(), fitting())), "ok"); }

TEST(PolicyTest, AnEmptyPolicyIsAnError) {
  EXPECT_EQ(outcome(judge(genuine(), ReportPolicy{})),
            "invalid argument: the report policy does not say which REPORT_DATA is right");
}

TEST(PolicyTest, EachRequiredPartMustBeThere) {
  ReportPolicy policy = fitting();
  policy.vmpl.reset();
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            "invalid argument: the report policy does not say which VMPL (0 to 3) is right");
  policy = fitting();
  policy.vmpl = 0xFFFFFFFF;
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            "invalid argument: the report policy does not say which VMPL (0 to 3) is right");
  policy = fitting();
  policy.measurements.clear();
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            "invalid argument: the report policy must either list measurements or accept any of "
            "them");
  policy.any_measurement = true;
  EXPECT_EQ(outcome(judge(genuine(), policy)), "ok");
}

TEST(PolicyTest, AnyMeasurementBesideAListIsAContradiction) {
  ReportPolicy policy = fitting();
  policy.any_measurement = true;
  EXPECT_EQ(judge(genuine(), policy).error().code, Errc::kInvalidArgument);
}

TEST(PolicyTest, OtherReportDataIsRefusedAtEachByte) {
  const VerifiedReport report = genuine();
  for (std::size_t i = 0; i < kReportDataBytes; ++i) {
    ReportPolicy policy = fitting();
    (*policy.report_data)[i] = 1;
    EXPECT_EQ(outcome(judge(report, policy)),
              refusal("the report's REPORT_DATA is not the one asked for"));
  }
}

TEST(PolicyTest, AnotherVmplIsRefused) {
  ReportPolicy policy = fitting();
  policy.vmpl = 1;
  EXPECT_EQ(outcome(judge(genuine(), policy)), refusal("the report is for another VMPL"));
}

TEST(PolicyTest, AReportForTheHostIsRefused) {
  Draft draft;
  draft.before_signing = [](RawReport& report) { put(report, field::kVmpl, 0xFFFFFFFF); };
  EXPECT_EQ(outcome(judge(genuine(draft), fitting())),
            refusal("the host asked for this report, not the guest (VMPL over 3)"));
}

struct BitCase {
  std::uint64_t bit;
  bool ReportPolicy::*allow;
};

TEST(PolicyTest, DangerousPermissionsOfTheGuestAreRefusedUnlessAllowed) {
  for (const BitCase& one : {BitCase{policy_bit::kDebugAllowed, &ReportPolicy::allow_debug},
                             BitCase{policy_bit::kMigrationAllowed, &ReportPolicy::allow_migration},
                             BitCase{policy_bit::kCxlAllowed, &ReportPolicy::allow_cxl},
                             BitCase{policy_bit::kSmtAllowed, &ReportPolicy::allow_smt}}) {
    Draft draft;
    draft.state.policy |= one.bit;
    const VerifiedReport report = genuine(draft);
    ReportPolicy policy = fitting();
    policy.*one.allow = false;
    EXPECT_EQ(judge(report, policy).error().code, Errc::kPolicyRefused);
    policy.*one.allow = true;
    EXPECT_EQ(outcome(judge(report, policy)), "ok");
  }
}

TEST(PolicyTest, ByDefaultOnlySmtIsAllowed) {
  const ReportPolicy policy;
  EXPECT_FALSE(policy.allow_debug);
  EXPECT_FALSE(policy.allow_migration);
  EXPECT_FALSE(policy.allow_cxl);
  EXPECT_TRUE(policy.allow_smt);
}

TEST(PolicyTest, AMigrationAgentIsRefused) {
  Draft draft;
  draft.before_signing = [](RawReport& report) { put(report, field::kReportIdMa, 7); };
  EXPECT_EQ(outcome(judge(genuine(draft), fitting())),
            refusal("the guest has a migration agent (REPORT_ID_MA)"));
}

TEST(PolicyTest, RequiredBitsMustBeSet) {
  ReportPolicy policy = fitting();
  policy.required_policy_bits = policy_bit::kSingleSocketRequired;
  EXPECT_EQ(outcome(judge(genuine(), policy)), refusal("the guest's POLICY lacks a required bit"));
  policy = fitting();
  policy.required_platform_bits = platform_bit::kAliasCheckComplete;
  EXPECT_EQ(outcome(judge(genuine(), policy)), "ok");
  policy.required_platform_bits = platform_bit::kCiphertextHiding;
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            refusal("the report's PLATFORM_INFO lacks a required bit"));
}

TEST(PolicyTest, AnotherMeasurementIsRefused) {
  ReportPolicy policy = fitting();
  policy.measurements = {Measurement{}};
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            refusal("the report's MEASUREMENT is not on the list"));
  policy.measurements.push_back(Draft().state.measurement);
  EXPECT_EQ(outcome(judge(genuine(), policy)), "ok");
}

TEST(PolicyTest, OptionalIdentitiesAreComparedWhenGiven) {
  ReportPolicy policy = fitting();
  policy.host_data = HostData{{1}};
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            refusal("the report's HOST_DATA is not the one asked for"));
  policy = fitting();
  policy.id_key_digests = {IdKeyDigest{{1}}};
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            refusal("the report's ID_KEY_DIGEST is not on the list"));
  policy = fitting();
  policy.minimum_guest_svn = 1;
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            refusal("the report's GUEST_SVN is below the minimum"));
  policy = fitting();
  policy.chip_ids = {ChipId{}};
  EXPECT_EQ(outcome(judge(genuine(), policy)), refusal("the report's CHIP_ID is not on the list"));
  policy = fitting();
  policy.products = {Product::kGenoa, Product::kTurin};
  EXPECT_EQ(outcome(judge(genuine(), policy)), refusal("the report's product is not on the list"));
}

TEST(PolicyTest, AMinimumTcbHoldsForReportedCommittedAndLaunch) {
  const Tcb tcb = Draft().state.tcb;
  ReportPolicy policy = fitting();
  policy.minimum_tcb = {{Product::kMilan, tcb}};
  EXPECT_EQ(outcome(judge(genuine(), policy)), "ok");

  Draft draft;
  draft.before_signing = [](RawReport& report) { put(report, field::kLaunchTcb, 0); };
  EXPECT_EQ(outcome(judge(genuine(draft), policy)),
            refusal("the report's LAUNCH_TCB is below the minimum"));
  draft.before_signing = [](RawReport& report) { put(report, field::kCommittedTcb, 0); };
  EXPECT_EQ(outcome(judge(genuine(draft), policy)),
            refusal("the report's COMMITTED_TCB is below the minimum"));

  policy.minimum_tcb[0].tcb.microcode = 0xDC;
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            refusal("the report's REPORTED_TCB is below the minimum"));
}

TEST(PolicyTest, AProductWithoutAMinimumTcbIsRefusedWhenOthersHaveOne) {
  ReportPolicy policy = fitting();
  policy.minimum_tcb = {{Product::kGenoa, Tcb{}}};
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            refusal("no minimum TCB is set for the report's product"));
}

}  // namespace
}  // namespace vhsm::snp
