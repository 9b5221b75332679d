// SPDX-License-Identifier: Apache-2.0
//
// Each check of verify(), failed alone: forged under a test root, genuine in everything else.
#include <nlohmann/json.hpp>

#include "snp/x509.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

std::string verdict(const Evidence& evidence, const VerifyOptions& options = {}) {
  return outcome(verify(evidence, test_roots(), options));
}

std::string verdict(const Draft& draft, const VerifyOptions& options = {}) {
  return verdict(forge(draft), options);
}

std::string verdict_on(std::function<void(RawReport&)> edit) {
  Draft draft;
  draft.before_signing = std::move(edit);
  return verdict(draft);
}

std::string verdict_with(const Field& where, std::uint64_t value) {
  return verdict_on([&](RawReport& report) { put(report, where, value); });
}

TEST(VerifyTest, AcceptsAnEmulatorsReportUnderItsTestRoot) {
  const auto report = verify(forge(Draft()), test_roots(), {});
  ASSERT_EQ(outcome(report), "ok");
  EXPECT_TRUE(report.value().development());
}

TEST(VerifyTest, RefusesAnEmulatorsReportWithoutATestRoot) {
  EXPECT_EQ(outcome(verify(forge(Draft()), Roots{}, {})),
            "untrusted chain: the report comes from an emulator, and no test root is trusted");
}

TEST(VerifyTest, RefusesATestRootThatIsOnlyAmongTheCertificates) {
  Roots roots;
  roots.certificates = forge(Draft()).certificates;
  EXPECT_EQ(outcome(verify(forge(Draft()), roots, {})),
            "untrusted chain: the report comes from an emulator, and no test root is trusted");
}

TEST(VerifyTest, RefusesAnotherTestRootOfTheSameName) {
  const Authority other = make_authority(kTestRootName, kTestIntermediateName);
  EXPECT_EQ(verdict(forge(Draft(), other)),
            "untrusted chain: the emulator's certificate is not under the test root given");
}

TEST(VerifyTest, RefusesALeafOfAnotherIntermediateBesideTheRightOne) {
  const Authority other = make_authority(kTestRootName, kTestIntermediateName);
  Evidence evidence = forge(Draft(), other);
  evidence.certificates.push_back(
      certificate_of(authority().ask.certificate.get(), CertificateKind::kAsk));
  EXPECT_EQ(verdict(evidence), "untrusted chain: the certificate chain does not verify");
}

TEST(VerifyTest, RefusesATestRootWithAnAmdName) {
  const Authority fake = make_authority("ARK-Milan", kTestIntermediateName);
  Roots roots;
  roots.trust_test_root = to_der(fake.ark.certificate.get()).value();
  EXPECT_EQ(outcome(verify(forge(Draft(), fake), roots, {})),
            "malformed data: the test root is not one certificate called ARK-VHSM-TEST");
}

// What go-sev-guest accepts with its defaults.
TEST(VerifyTest, RefusesASelfMadeChainWithAmdsNames) {
  const Authority fake = make_authority("ARK-Milan", "SEV-Milan");
  const Evidence evidence = forge(Draft(), fake);
  const std::string expected = "untrusted chain: the certificate chain does not verify";
  EXPECT_EQ(outcome(verify(evidence, Roots{}, {})), expected);
  EXPECT_EQ(verdict(evidence), expected);
  Roots folder;
  folder.certificates = evidence.certificates;
  EXPECT_EQ(outcome(verify(evidence, folder, {})), expected);
}

TEST(VerifyTest, RefusesASelfMadeChainBesideAmdsOwnCertificates) {
  VHSM_NEED_VECTORS();
  const Authority fake = make_authority("ARK-Milan", "SEV-Milan");
  const Roots roots = read_roots(vectors_folder() + "/roots", "").value();
  EXPECT_EQ(outcome(verify(forge(Draft(), fake), roots, {})),
            "untrusted chain: the certificate chain does not verify");
}

TEST(VerifyTest, RefusesEvidenceWithoutALeaf) {
  Evidence evidence = forge(Draft());
  evidence.certificates.erase(evidence.certificates.begin());
  EXPECT_EQ(verdict(evidence),
            "untrusted chain: there is no certificate for the key that signed the report");
}

TEST(VerifyTest, FindsTheLeafByItsNameWhereverTheHostFiledIt) {
  Evidence evidence = forge(Draft());
  evidence.certificates[0].kind = CertificateKind::kVlek;
  EXPECT_EQ(verdict(evidence), "ok");
}

TEST(VerifyTest, RefusesAWrongSignature) {
  Evidence evidence = forge(Draft());
  evidence.report[field::kReportData.offset] ^= 1;
  EXPECT_EQ(verdict(evidence), "bad signature: the report was not signed by the certificate's key");
}

TEST(VerifyTest, RefusesASignatureOfZeros) {
  Evidence evidence = forge(Draft());
  put(evidence.report, field::kSignatureR, 0);
  EXPECT_EQ(verdict(evidence), "bad signature: the report was not signed by the certificate's key");
}

TEST(VerifyTest, RefusesASecondEncodingOfASignature) {
  for (const Field& number : {field::kSignatureR, field::kSignatureS}) {
    Evidence evidence = forge(Draft());
    evidence.report[number.offset + 48] = 1;
    EXPECT_EQ(verdict(evidence),
              "malformed data: the report's signature is not in its canonical encoding");
  }
}

TEST(VerifyTest, RefusesBytesAfterTheSignature) {
  Evidence evidence = forge(Draft());
  evidence.report.back() = 1;
  EXPECT_EQ(verdict(evidence), "malformed data: a reserved byte of the report is not zero");
}

TEST(VerifyTest, RefusesUnknownVersions) {
  for (const std::uint64_t version : {0ULL, 1ULL, 6ULL, 0xFFFFFFFFULL}) {
    EXPECT_EQ(verdict_with(field::kVersion, version),
              "malformed data: the report's version is not 2 to 5");
  }
}

TEST(VerifyTest, RefusesOtherSignatureAlgorithms) {
  EXPECT_EQ(verdict_with(field::kSignatureAlgo, 0),
            "malformed data: the report's SIGNATURE_ALGO is not ECDSA P-384 with SHA-384");
}

TEST(VerifyTest, RefusesReservedBits) {
  EXPECT_EQ(verdict_with(field::kKeyInfo, 1U << 5),
            "malformed data: a reserved bit of the report's KEY_INFO is set");
  EXPECT_EQ(verdict_with(field::kPolicy, 0),
            "malformed data: the reserved bits of the report's POLICY are wrong");
  EXPECT_EQ(verdict_with(field::kPolicy, policy_bit::kAlwaysOne | 1ULL << 26),
            "malformed data: the reserved bits of the report's POLICY are wrong");
}

TEST(VerifyTest, RefusesReservedBytes) {
  for (const Field& where :
       {field::kReserved04c, field::kReserved18b, field::kReserved1eb, field::kReserved1ef,
        field::kReserved208, field::kLaunchMitigations, field::kCurrentMitigations}) {
    EXPECT_EQ(verdict_with(where, 1), "malformed data: a reserved byte of the report is not zero");
  }
}

TEST(VerifyTest, RefusesAMaskedChipKey) {
  EXPECT_EQ(verdict_with(field::kKeyInfo, key_bit::kMaskChipKey),
            "malformed data: the host has masked the chip's key, so the report is unsigned");
}

TEST(VerifyTest, RefusesASigningKeyOfNone) {
  for (const std::uint64_t key : {2ULL, 6ULL, 7ULL}) {
    EXPECT_EQ(verdict_with(field::kKeyInfo, key << 2),
              "malformed data: the report is signed by no key that is known");
  }
}

TEST(VerifyTest, RefusesAnUnknownProcessor) {
  EXPECT_EQ(verdict_with(field::kCpuidModel, 0x50),
            "unsupported: the report comes from an unknown processor");
}

TEST(VerifyTest, RefusesACertificateForAnotherTcb) {
  for (const Field& where : {field::kReportedTcb}) {
    EXPECT_EQ(verdict_with(where, 0x03),
              "untrusted chain: the certificate is for another TCB than REPORTED_TCB");
  }
}

TEST(VerifyTest, RefusesTcbsInTheWrongOrder) {
  EXPECT_EQ(verdict_with(field::kCurrentTcb, 0),
            "malformed data: the report's COMMITTED_TCB is above its CURRENT_TCB");
  EXPECT_EQ(verdict_on([](RawReport& report) {
              put(report, field::kCurrentTcb, 0);
              put(report, field::kCommittedTcb, 0);
            }),
            "malformed data: the report's REPORTED_TCB is above its CURRENT_TCB");
}

TEST(VerifyTest, RefusesReservedBytesOfATcb) {
  EXPECT_EQ(verdict_on([](RawReport& report) { report[field::kLaunchTcb.offset + 3] = 1; }),
            "malformed data: a reserved byte of a TCB is not zero");
}

TEST(VerifyTest, RefusesACertificateForAnotherChip) {
  EXPECT_EQ(verdict_on([](RawReport& report) { report[field::kChipId.offset + 63] ^= 1; }),
            "untrusted chain: the certificate is for another chip than CHIP_ID");
}

TEST(VerifyTest, AcceptsAMaskedChipIdOnlyWhenAllowed) {
  Draft draft;
  draft.before_signing = [](RawReport& report) { put(report, field::kChipId, 0); };
  EXPECT_EQ(verdict(draft), "untrusted chain: the host has masked CHIP_ID");
  VerifyOptions options;
  options.allow_masked_chip_id = true;
  EXPECT_EQ(verdict(draft, options), "ok");
}

TEST(VerifyTest, RefusesAnExpiredChain) {
  VerifyOptions options;
  options.at = std::chrono::system_clock::now() + std::chrono::hours(24 * 366 * 8);
  EXPECT_EQ(verdict(Draft(), options), "untrusted chain: the certificate chain does not verify");
}

TEST(VerifyTest, AcceptsAHardwareIdInAnOctetString) {
  Draft draft;
  std::vector<std::uint8_t> wrapped{0x04, 64};
  wrapped.insert(wrapped.end(), draft.state.chip_id.value.begin(), draft.state.chip_id.value.end());
  draft.set_extension("4", wrapped);
  EXPECT_EQ(verdict(draft), "ok");
}

struct ExtensionCase {
  const char* suffix;
  std::vector<std::uint8_t> value;
  const char* outcome;
};

TEST(VerifyTest, RefusesMalformedExtensions) {
  const char* const kLevel =
      "malformed data: a level in the certificate's extensions is not 0 to 255";
  const char* const kName =
      "malformed data: a name in the certificate's extensions is not an IA5String";
  const std::vector<ExtensionCase> cases{
      {"3.1", {}, kLevel},
      {"3.1", {0x02, 0x01}, kLevel},
      {"3.1", {0x02, 0x01, 0x80}, kLevel},
      {"3.1", {0x02, 0x02, 0x00, 0x04}, kLevel},
      {"3.1", {0x02, 0x02, 0x01, 0x04}, kLevel},
      {"3.1", {0x02, 0x01, 0x04, 0x00}, kLevel},
      {"3.1", {0x04, 0x01, 0x04}, kLevel},
      {"2", {0x16, 0x7F, 'M'}, kName},
      {"2", {0x0C, 0x01, 'M'}, kName},
      {"4", std::vector<std::uint8_t>(63),
       "malformed data: the certificate's hwID is not 64 or 8 bytes"},
  };
  for (const ExtensionCase& one : cases) {
    Draft draft;
    draft.set_extension(one.suffix, one.value);
    EXPECT_EQ(verdict(draft), one.outcome) << one.suffix;
  }
}

TEST(VerifyTest, RefusesUnknownExtensionsInAmdsArc) {
  for (const char* suffix : {"6", "3.10", "3.0", "3", "4.1"}) {
    Draft draft;
    draft.extensions.push_back({suffix, {0x02, 0x01, 0x00}});
    EXPECT_EQ(verdict(draft), "malformed data: the certificate has an unknown extension of AMD's");
  }
}

TEST(VerifyTest, RefusesAnExtensionTwice) {
  Draft draft;
  draft.extensions.push_back(draft.extensions.back());
  EXPECT_EQ(verdict(draft), "malformed data: the certificate has an extension twice");
}

TEST(VerifyTest, RefusesACertificateThatLacksALevel) {
  for (const char* suffix : {"3.1", "3.2", "3.3", "3.4", "3.5", "3.8"}) {
    Draft draft;
    draft.drop_extension(suffix);
    EXPECT_EQ(verdict(draft), "malformed data: the certificate lacks a level of its TCB");
  }
}

TEST(VerifyTest, RefusesALevelOfAnotherProduct) {
  Draft draft;
  draft.extensions.push_back({"3.9", {0x02, 0x01, 0x01}});
  EXPECT_EQ(verdict(draft), "malformed data: the certificate has a level that its product lacks");
}

TEST(VerifyTest, RefusesAVcekWithoutAChip) {
  Draft draft;
  draft.drop_extension("4");
  EXPECT_EQ(verdict(draft),
            "malformed data: the VCEK's certificate names no chip, or a cloud provider");
}

TEST(VerifyTest, RefusesAVcekOfACloudProvider) {
  Draft draft;
  draft.extensions.push_back({"5", {0x16, 0x01, 'x'}});
  EXPECT_EQ(verdict(draft),
            "malformed data: the VCEK's certificate names no chip, or a cloud provider");
}

Draft vlek_draft() {
  Draft draft;
  draft.leaf_name = "SEV-VLEK";
  draft.drop_extension("4");
  draft.extensions.push_back({"5", {0x16, 0x03, 'c', 's', 'p'}});
  draft.before_signing = [](RawReport& report) {
    put(report, field::kKeyInfo, key_bit::kSignedByVlek);
    put(report, field::kChipId, 0);
  };
  return draft;
}

TEST(VerifyTest, AcceptsAVlekOnlyWhenAllowed) {
  const Draft draft = vlek_draft();
  EXPECT_EQ(verdict(draft),
            "untrusted chain: the report is signed by a cloud provider's key (VLEK)");
  VerifyOptions options;
  options.allow_vlek = true;
  const auto report = verify(forge(draft), test_roots(), options);
  ASSERT_EQ(outcome(report), "ok");
  EXPECT_EQ(report.value().signer(), CertificateKind::kVlek);
}

TEST(VerifyTest, RefusesAVcekWhereKeyInfoSaysVlek) {
  Draft draft;
  draft.before_signing = vlek_draft().before_signing;
  VerifyOptions options;
  options.allow_vlek = true;
  EXPECT_EQ(verdict(draft, options),
            "untrusted chain: there is no certificate for the key that signed the report");
}

TEST(VerifyTest, RefusesAVlekThatNamesAChip) {
  Draft draft = vlek_draft();
  draft.extensions = Draft().extensions;
  VerifyOptions options;
  options.allow_vlek = true;
  EXPECT_EQ(verdict(draft, options),
            "malformed data: the VLEK's certificate names a chip, or no cloud provider");
}

// ---- revocation --------------------------------------------------------------------------------

constexpr const char* kNoList =
    "untrusted chain: there is no revocation list of the root that is valid now";

std::string verdict_with_list(const Certificate& list, const VerifyOptions& options) {
  Evidence evidence = forge(Draft());
  evidence.certificates.push_back(list);
  return verdict(evidence, options);
}

TEST(RevocationTest, AListIsAskedForOnlyWhenRequired) {
  VerifyOptions options;
  EXPECT_EQ(verdict(Draft(), options), "ok");
  options.require_crl = true;
  EXPECT_EQ(verdict(Draft(), options), kNoList);
  EXPECT_EQ(verdict_with_list(make_crl(authority().ark, {}), options), "ok");
}

TEST(RevocationTest, ARevokedIntermediateIsRefusedEvenByAnOldListThatNobodyRequired) {
  CrlDraft draft;
  draft.revoked = authority().ask.certificate.get();
  const char* const revoked = "untrusted chain: the root has revoked the certificate below it";
  EXPECT_EQ(verdict_with_list(make_crl(authority().ark, draft), {}), revoked);
  draft.age = std::chrono::hours(1000);
  EXPECT_EQ(verdict_with_list(make_crl(authority().ark, draft), {}), revoked);
  draft.critical_extension = true;
  EXPECT_EQ(verdict_with_list(make_crl(authority().ark, draft), {}), revoked);
}

TEST(RevocationTest, AListOutsideItsTimeOrWithACriticalExtensionClearsNobody) {
  VerifyOptions options;
  options.require_crl = true;
  CrlDraft draft;
  draft.age = std::chrono::hours(-1);
  EXPECT_EQ(verdict_with_list(make_crl(authority().ark, draft), options), kNoList);
  draft.age = draft.life + std::chrono::hours(1);
  EXPECT_EQ(verdict_with_list(make_crl(authority().ark, draft), options), kNoList);
  draft = CrlDraft();
  draft.critical_extension = true;
  EXPECT_EQ(verdict_with_list(make_crl(authority().ark, draft), options), kNoList);
}

TEST(RevocationTest, AListMustBeYoungEnough) {
  VerifyOptions options;
  options.require_crl = true;
  CrlDraft draft;
  draft.age = std::chrono::hours(49);
  const Certificate list = make_crl(authority().ark, draft);
  options.crl_max_age = std::chrono::hours(50);
  EXPECT_EQ(verdict_with_list(list, options), "ok");
  options.crl_max_age = std::chrono::hours(48);
  EXPECT_EQ(verdict_with_list(list, options), kNoList);
}

TEST(RevocationTest, AListOfSomebodyElseCountsForNothing) {
  const Authority other = make_authority(kTestRootName, kTestIntermediateName);
  VerifyOptions options;
  CrlDraft draft;
  draft.revoked = authority().ask.certificate.get();
  EXPECT_EQ(verdict_with_list(make_crl(other.ark, draft), options), "ok");
  options.require_crl = true;
  EXPECT_EQ(verdict_with_list(make_crl(other.ark, {}), options), kNoList);
}

// ---- more knobs --------------------------------------------------------------------------------

TEST(VerifyTest, RefusesVersionsThatAreNotOnTheList) {
  VerifyOptions options;
  options.versions = {4, 5};
  EXPECT_EQ(verdict(Draft(), options), "untrusted chain: the report's version is not on the list");
  options.versions.push_back(3);
  EXPECT_EQ(verdict(Draft(), options), "ok");
}

TEST(VerifyTest, RefusesAVcekWhereOnlyVleksAreAllowed) {
  VerifyOptions options;
  options.allow_vcek = false;
  options.allow_vlek = true;
  EXPECT_EQ(verdict(Draft(), options),
            "untrusted chain: the report is signed by the chip's own key (VCEK)");
  EXPECT_EQ(verdict(vlek_draft(), options), "ok");
}

TEST(VerifyTest, RefusesAVlekOfAnotherCloudProvider) {
  VerifyOptions options;
  options.allow_vlek = true;
  options.csp_ids = {"other"};
  EXPECT_EQ(verdict(vlek_draft(), options),
            "untrusted chain: the VLEK is of a cloud provider that is not on the list");
  options.csp_ids.emplace_back("csp");
  EXPECT_EQ(verdict(vlek_draft(), options), "ok");
}

TEST(VerifyTest, TakesTheFittingCertificateOutOfMany) {
  Draft draft;
  Evidence evidence = forge(draft);
  EmulatorState other = draft.state;
  other.chip_id.value[0] ^= 1;
  const Issuer stranger = make_leaf(authority().ask, "SEV-VCEK",
                                    vcek_extensions(other.product, other.tcb, other.chip_id))
                              .value();
  evidence.certificates.insert(evidence.certificates.begin(),
                               certificate_of(stranger.certificate.get(), CertificateKind::kVcek));
  EXPECT_EQ(verdict(evidence), "ok");
}

TEST(VerifyTest, EveryProductAndVersionVerifies) {
  for (const Product product : {Product::kMilan, Product::kGenoa, Product::kTurin}) {
    for (std::uint32_t version = kOldestVersion; version <= kNewestVersion; ++version) {
      Draft draft;
      EmulatorOptions machine;
      machine.product = product;
      machine.report_version = version;
      draft.state = make_state(machine).value();
      draft.extensions = vcek_extensions(product, draft.state.tcb, draft.state.chip_id);
      const auto report = verify(forge(draft), test_roots(), {});
      ASSERT_EQ(outcome(report), "ok") << product_name(product) << version;
      EXPECT_EQ(report.value().product(), product);
    }
  }
}

// ---- findings ----------------------------------------------------------------------------------

std::string outcomes_of(const Findings& findings) {
  std::string text;
  for (const Finding& one : findings) {
    if (one.outcome == Outcome::kPassed) continue;
    text += std::string(one.check) + ": " + std::string(outcome_name(one.outcome)) + "; ";
  }
  return text;
}

TEST(FindingsTest, SayWhichCheckFailedAndWhatWasNotReached) {
  Findings findings;
  Evidence evidence = forge(Draft());
  evidence.report[field::kReportData.offset] ^= 1;
  EXPECT_FALSE(verify(evidence, test_roots(), {}, &findings).ok());
  EXPECT_EQ(outcomes_of(findings),
            "signature: failed; certified TCB: not reached; chip: not reached; TCB order: not "
            "reached; ");
  const auto json = to_json(findings);
  EXPECT_EQ(json[8].dump(), R"({"check":"signature","outcome":"failed",)"
                            R"("reason":"the report was not signed by the certificate's key"})");
}

TEST(FindingsTest, APolicyJudgesEverythingThatItAsksFor) {
  const auto report = verify(forge(Draft()), test_roots(), {});
  ASSERT_EQ(outcome(report), "ok");
  ReportPolicy policy = standing_rules();
  policy.minimum_guest_svn = 1;
  policy.chip_ids = {ChipId{}};
  Findings findings;
  EXPECT_EQ(outcome(judge(report.value(), policy, &findings)),
            "refused by policy: the report's GUEST_SVN is below the minimum");
  const std::string text = to_text(findings);
  EXPECT_NE(text.find("failed      guest SVN "), std::string::npos) << text;
  EXPECT_NE(text.find("failed      allowed chip "), std::string::npos) << text;
  EXPECT_NE(text.find("not asked   measurement"), std::string::npos) << text;
}

TEST(VerifyTest, ReadsFilesOfRoots) {
  EXPECT_EQ(outcome(read_roots("/nonexistent", "")), "file error: this folder cannot be read");
  EXPECT_EQ(outcome(read_roots("", "/nonexistent")), "file error: this file cannot be opened");
  EXPECT_EQ(outcome(read_roots("", VHSM_TEST_EMULATOR "/emulator.json")),
            "malformed data: the test root is not one certificate");
  const auto roots = read_roots(VHSM_TEST_EMULATOR, VHSM_TEST_EMULATOR "/ark.pem");
  ASSERT_TRUE(roots.ok());
  EXPECT_EQ(roots.value().certificates.size(), 3U);
}

}  // namespace
}  // namespace vhsm::snp
