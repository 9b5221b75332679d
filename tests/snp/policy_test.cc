// SPDX-License-Identifier: Apache-2.0
#include "snp/policy.h"

#include <functional>

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
  EXPECT_EQ(
      outcome(judge(genuine(), policy)),
      "invalid argument: the report policy must list measurements, ID keys or author keys, or "
      "accept any measurement");
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
  policy.host_data = {HostData{{1}}};
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            refusal("the report's HOST_DATA is not on the list"));
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

/// A policy that one edit makes too strict for a Draft, and why it refuses then.
struct Strict {
  const char* refusal;
  std::function<void(ReportPolicy&)> tighten;
};

TEST(PolicyTest, EachKnobRefusesByItself) {
  const Strict cases[] = {
      {"the guest's POLICY accepts an older firmware interface (ABI)",
       [](ReportPolicy& policy) {
         policy.minimum_abi = {1, 0};
       }},
      {"the guest was launched without an ID block",
       [](ReportPolicy& policy) { policy.require_id_block = true; }},
      {"no author key signed the guest's ID key",
       [](ReportPolicy& policy) { policy.require_author_key = true; }},
      {"the report's AUTHOR_KEY_DIGEST is not on the list",
       [](ReportPolicy& policy) { policy.author_key_digests = {AuthorKeyDigest{}}; }},
      {"the report's FAMILY_ID is not on the list",
       [](ReportPolicy& policy) { policy.family_ids = {FamilyId{{1}}}; }},
      {"the report's IMAGE_ID is not on the list",
       [](ReportPolicy& policy) { policy.image_ids = {ImageId{{1}}}; }},
      {"the report's REPORT_ID is not on the list",
       [](ReportPolicy& policy) { policy.report_ids = {ReportId{}}; }},
      {"the report's REPORT_ID_MA is not on the list",
       [](ReportPolicy& policy) { policy.agent_report_ids = {AgentReportId{}}; }},
      {"the report's PLATFORM_INFO has a forbidden bit",
       [](ReportPolicy& policy) { policy.forbidden_platform_bits = platform_bit::kSmt; }},
      {"the report's LAUNCH_TCB is below its own minimum",
       [](ReportPolicy& policy) {
         policy.minimum_launch_tcb = {{Product::kMilan, {0, 0, 0, 0, 0xFF}}};
       }},
      {"the report's LAUNCH_TCB is below its own minimum",
       [](ReportPolicy& policy) {
         policy.minimum_launch_tcb = {{Product::kTurin, {}}};
       }},
      {"the committed firmware is older than the minimum",
       [](ReportPolicy& policy) {
         policy.minimum_firmware = {1, 55, 30};
       }},
      {"the report's LAUNCH_MIT_VECTOR lacks a required bit",
       [](ReportPolicy& policy) { policy.required_launch_mitigations = 1; }},
      {"the report's CURRENT_MIT_VECTOR lacks a required bit",
       [](ReportPolicy& policy) { policy.required_current_mitigations = 1; }},
  };
  const VerifiedReport report = genuine();
  for (const Strict& one : cases) {
    ReportPolicy policy = fitting();
    one.tighten(policy);
    EXPECT_EQ(outcome(judge(report, policy)), refusal(one.refusal));
  }
}

TEST(PolicyTest, ForbiddenPlatformBitsAreThoseOfTioAndUnknownOnesByDefault) {
  for (const std::uint64_t bit :
       std::initializer_list<std::uint64_t>{platform_bit::kTio, 1 << 6, 1 << 8, 1ULL << 63}) {
    Draft draft;
    draft.state.platform_info |= bit;
    EXPECT_EQ(outcome(judge(genuine(draft), fitting())),
              refusal("the report's PLATFORM_INFO has a forbidden bit"));
  }
}

TEST(PolicyTest, ProvisionalFirmwareIsRefusedOnlyWhenAskedFor) {
  for (const Field& where : {field::kCommittedVersion, field::kCommittedTcb}) {
    Draft draft;
    draft.before_signing = [&](RawReport& report) { put(report, where, 0); };
    const VerifiedReport report = genuine(draft);
    ReportPolicy policy = fitting();
    EXPECT_EQ(outcome(judge(report, policy)), "ok");
    policy.allow_provisional_firmware = false;
    EXPECT_EQ(outcome(judge(report, policy)),
              refusal("the firmware is provisional: the host can take it back"));
  }
}

TEST(PolicyTest, AnAuthorOnTheListVouchesForAnyIdKey) {
  Draft draft;
  draft.before_signing = [](RawReport& report) {
    put(report, field::kKeyInfo, key_bit::kAuthorKey);
    report[field::kIdKeyDigest.offset] = 7;
    report[field::kAuthorKeyDigest.offset] = 9;
  };
  const VerifiedReport report = genuine(draft);
  ReportPolicy policy = fitting();
  policy.require_id_block = true;
  policy.require_author_key = true;
  policy.id_key_digests = {IdKeyDigest{{1}}};
  EXPECT_EQ(outcome(judge(report, policy)),
            refusal("the report's ID_KEY_DIGEST is not on the list"));
  policy.author_key_digests = {AuthorKeyDigest{{9}}};
  EXPECT_EQ(outcome(judge(report, policy)), "ok");
  policy.id_key_digests.clear();
  EXPECT_EQ(outcome(judge(report, policy)), "ok");
}

TEST(PolicyTest, KeysOfTheOwnerStandForMeasurements) {
  Draft draft;
  draft.before_signing = [](RawReport& report) { report[field::kIdKeyDigest.offset] = 7; };
  ReportPolicy policy = fitting();
  policy.measurements.clear();
  policy.id_key_digests = {IdKeyDigest{{7}}};
  EXPECT_EQ(outcome(judge(genuine(draft), policy)), "ok");
  EXPECT_EQ(outcome(judge(genuine(), policy)),
            refusal("the report's ID_KEY_DIGEST is not on the list"));
}

TEST(PolicyTest, MitigationsAreBitsThatMustBeSetFromVersionFiveOn) {
  Draft draft;
  draft.state.report_version = 5;
  draft.before_signing = [](RawReport& report) {
    put(report, field::kLaunchMitigations, 3);
    put(report, field::kCurrentMitigations, 7);
  };
  ReportPolicy policy = fitting();
  policy.required_launch_mitigations = 2;
  policy.required_current_mitigations = 5;
  EXPECT_EQ(outcome(judge(genuine(draft), policy)), "ok");
  policy.required_launch_mitigations = 4;
  EXPECT_EQ(outcome(judge(genuine(draft), policy)),
            refusal("the report's LAUNCH_MIT_VECTOR lacks a required bit"));
}

TEST(PolicyTest, StandingRulesRefuseDebuggersAndAskForNothingElse) {
  EXPECT_EQ(outcome(judge(genuine(), standing_rules())), "ok");
  Draft draft;
  draft.state.policy |= policy_bit::kDebugAllowed;
  EXPECT_EQ(judge(genuine(draft), standing_rules()).error().code, Errc::kPolicyRefused);
}

}  // namespace
}  // namespace vhsm::snp
