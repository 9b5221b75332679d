// SPDX-License-Identifier: Apache-2.0
//
// Each binding of key evidence, broken by itself. The reports are signed by a laboratory's own
// hierarchy, so that everything else is genuine.
#include "evidence/key_verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "snp/annex.h"
#include "tests/evidence/samples.h"
#include "tests/snp/support.h"

namespace vhsm::evidence {
namespace {

using ::testing::HasSubstr;

class KeyVerdictTest : public ::testing::Test {
 protected:
  /// As a keystore and its platform would make it.
  Presented presented() {
    KeyEvidence evidence{.claims = encode(claims_), .platform = {}};
    draft_.data = report_data_of(evidence.claims);
    evidence.platform = snp::forge(draft_);
    return {.form = Form::kCbor, .evidence = std::move(evidence)};
  }
  KeyVerdict judge(const Presented& presented) const {
    return judge_key(presented, snp::test_roots(), expected_);
  }
  void expect_refused(const Presented& presented, const std::string& why) const {
    const KeyVerdict verdict = judge(presented);
    ASSERT_FALSE(verdict.accepted.ok());
    EXPECT_THAT(describe(verdict.accepted.error()), HasSubstr(why));
  }

  keystore::KeyClaims claims_ = [] {
    auto claims = sample_claims();
    claims.others.clear();
    return claims;
  }();
  snp::Draft draft_;
  Expectations expected_ = [] {
    Expectations expected;
    expected.machine.report = snp::standing_rules();
    expected.nonce = sample_claims().nonce;
    return expected;
  }();
};

TEST_F(KeyVerdictTest, GenuineEvidenceOfAGeneratedKeyIsAccepted) {
  const KeyVerdict verdict = judge(presented());
  EXPECT_TRUE(verdict.accepted.ok()) << describe(verdict.accepted.error());
  ASSERT_TRUE(verdict.claims.has_value());
  EXPECT_EQ(*verdict.claims, claims_);
  EXPECT_TRUE(verdict.report.has_value());
}

TEST_F(KeyVerdictTest, AChangedClaimIsNotBoundByTheReport) {
  const std::vector<std::function<void(keystore::KeyClaims&)>> changes{
      [](auto& claims) { claims.public_key_info[0] ^= 1; },
      [](auto& claims) { claims.policy = "operations=decrypt"; },
      [](auto& claims) { claims.name = "default/tls/other"; },
      [](auto& claims) { claims.version = 9; },
  };
  for (const auto& change : changes) {
    Presented changed = presented();
    keystore::KeyClaims other = claims_;
    change(other);
    changed.evidence.claims = encode(other);
    const KeyVerdict verdict = judge(changed);
    EXPECT_FALSE(verdict.accepted.ok());
    EXPECT_FALSE(verdict.report.has_value()) << "the report is about other claims";
  }
}

TEST_F(KeyVerdictTest, AnOriginCannotBeTurnedIntoAnother) {
  claims_.origin = keystore::KeyOrigin::kImported;
  Presented changed = presented();
  claims_.origin = keystore::KeyOrigin::kGenerated;
  changed.evidence.claims = encode(claims_);
  expect_refused(changed, "evidence");
  EXPECT_FALSE(judge(changed).report.has_value());
}

TEST_F(KeyVerdictTest, AReplayedReportIsRefusedByItsNonce) {
  claims_.nonce = bytes_of("the nonce of yesterday");
  expect_refused(presented(), "another nonce");
  claims_.nonce.clear();
  expect_refused(presented(), "another nonce");
}

TEST_F(KeyVerdictTest, AReportForSomethingElseIsRefused) {
  Presented changed = presented();
  draft_.data = {};  // as vhsm attest without a nonce has it
  changed.evidence.platform = snp::forge(draft_);
  EXPECT_FALSE(judge(changed).accepted.ok());
  draft_.data = report_data_of(bytes_of("other claims"));
  changed.evidence.platform = snp::forge(draft_);
  EXPECT_FALSE(judge(changed).accepted.ok());
}

TEST_F(KeyVerdictTest, KeysOfAnotherOriginAreRefusedUnlessTheirOriginIsAllowed) {
  for (const auto origin : {keystore::KeyOrigin::kImported, keystore::KeyOrigin::kFetched,
                            keystore::KeyOrigin::kRestored, keystore::KeyOrigin::kKbsReceiver}) {
    claims_.origin = origin;
    expected_.allowed.clear();
    expect_refused(presented(), std::string(name_of(origin)));
    expected_.allowed = {std::string(name_of(origin))};
    EXPECT_TRUE(judge(presented()).accepted.ok());
  }
}

TEST_F(KeyVerdictTest, KeysThatOthersCanOpenAreRefusedUnlessEachOfThemIsAllowed) {
  claims_.others = {"kbs", "recovery"};
  expect_refused(presented(), "kbs");
  expected_.allowed = {"kbs"};
  expect_refused(presented(), "recovery");
  expected_.allowed = {"recovery", "kbs"};
  EXPECT_TRUE(judge(presented()).accepted.ok());
  claims_.others = {"a way that a later vhsm has"};
  EXPECT_FALSE(judge(presented()).accepted.ok());
}

TEST_F(KeyVerdictTest, KeysThatMayLeaveAreRefusedUnlessThatIsAllowed) {
  claims_.policy = "operations=sign backup=attested not-after=7";
  expect_refused(presented(), "may be backed up");
  expected_.allowed = {"backup"};
  EXPECT_TRUE(judge(presented()).accepted.ok());
  expected_.allowed = {"restored"};
  claims_.policy = "backup=in a way that a later vhsm has";
  expect_refused(presented(), "may be backed up");
}

TEST_F(KeyVerdictTest, ADebuggedGuestsEvidenceIsRefused) {
  draft_.before_signing = [](snp::RawReport& report) {
    report[snp::field::kPolicy.offset + 2] |= 0x08;  // bit 19: debugging
  };
  expect_refused(presented(), "debug");
}

TEST_F(KeyVerdictTest, AReportOfAnotherLevelOrGuestIsRefused) {
  expected_.machine.report.any_vmpl = false;
  expected_.machine.report.vmpl = 1;
  EXPECT_FALSE(judge(presented()).accepted.ok());
  expected_.machine.report.vmpl = 0;
  EXPECT_TRUE(judge(presented()).accepted.ok());
  expected_.machine.report.any_measurement = false;
  expected_.machine.report.measurements = {snp::Measurement{0x42}};
  EXPECT_FALSE(judge(presented()).accepted.ok());
}

TEST_F(KeyVerdictTest, WithoutItsRootNothingIsGenuine) {
  const KeyVerdict verdict = judge_key(presented(), snp::Roots{}, expected_);
  EXPECT_FALSE(verdict.accepted.ok());
  EXPECT_FALSE(verdict.report.has_value());
}

TEST_F(KeyVerdictTest, ARequestForAnotherKeyIsRefused) {
  Presented request = presented();
  request.public_key_info = claims_.public_key_info;
  request.signature = Status();
  EXPECT_TRUE(judge(request).accepted.ok());
  request.public_key_info[0] ^= 1;
  expect_refused(request, "another key");
}

TEST_F(KeyVerdictTest, ARequestThatItsKeyHasNotSignedIsRefused) {
  Presented request = presented();
  request.public_key_info = claims_.public_key_info;
  request.signature = fail(Errc::kBadSignature, "it is not signed");
  expect_refused(request, "it is not signed");
}

TEST_F(KeyVerdictTest, APolicyWithAReportDataOfItsOwnIsWrongUsage) {
  expected_.machine.report.any_report_data = false;
  expected_.machine.report.report_data = snp::ReportData{};
  const KeyVerdict verdict = judge(presented());
  ASSERT_FALSE(verdict.accepted.ok());
  EXPECT_EQ(verdict.accepted.error().code, Errc::kInvalidArgument);
}

TEST_F(KeyVerdictTest, EvidenceComesBackFromItsCollection) {
  const Presented made = presented();
  const auto again = KeyEvidence::from(made.evidence.collection());
  ASSERT_TRUE(again.ok()) << describe(again.error());
  EXPECT_TRUE(judge({.form = Form::kCbor, .evidence = again.value()}).accepted.ok());
}

TEST_F(KeyVerdictTest, ACollectionWithAMissingAnUnknownOrAMistypedRecordIsRefused) {
  const Collection good = presented().evidence.collection();
  for (std::size_t i = 0; i < 2; ++i) {
    Collection less = good;
    less.records.erase(less.records.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(KeyEvidence::from(less).ok()) << good.records[i].label;
  }
  for (std::size_t i = 0; i < good.records.size(); ++i) {
    Collection mistyped = good;
    mistyped.records[i].type += "x";
    EXPECT_FALSE(KeyEvidence::from(mistyped).ok()) << good.records[i].label;
  }
  Collection more = good;
  more.records.push_back({"novelty", "a/b", {}, 0});
  EXPECT_FALSE(KeyEvidence::from(more).ok());
  Collection other = good;
  other.type = "urn:uuid:00000000-0000-0000-0000-000000000000";
  EXPECT_FALSE(KeyEvidence::from(other).ok());
}

TEST_F(KeyVerdictTest, AnSvsmManifestIsBoundToo) {
  KeyEvidence evidence{.claims = encode(claims_), .platform = {}};
  const Bytes manifest = bytes_of("what an SVSM says of its services");
  draft_.data = snp::svsm_report_data(report_data_of(evidence.claims), manifest).value();
  evidence.platform = snp::forge(draft_);
  evidence.platform.annex = {snp::AnnexKind::kSvsmManifest, manifest};
  Presented with_manifest{.form = Form::kCbor,
                          .evidence = KeyEvidence::from(evidence.collection()).value()};
  EXPECT_TRUE(judge(with_manifest).accepted.ok());
  with_manifest.evidence.platform.annex.data[0] ^= 1;
  EXPECT_FALSE(judge(with_manifest).accepted.ok());
}

}  // namespace
}  // namespace vhsm::evidence
