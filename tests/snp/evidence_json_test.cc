// SPDX-License-Identifier: Apache-2.0
#include "snp/evidence_json.h"

#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using nlohmann::json;

/// Through text, as over the wire.
Result<Evidence> through_text(const json& value) {
  return evidence_from_json(json::parse(value.dump(), nullptr, false));
}

void expect_same(const Evidence& left, const Evidence& right) {
  EXPECT_EQ(left.report, right.report);
  ASSERT_EQ(left.certificates.size(), right.certificates.size());
  for (std::size_t i = 0; i < left.certificates.size(); ++i) {
    EXPECT_EQ(left.certificates[i].kind, right.certificates[i].kind);
    EXPECT_EQ(left.certificates[i].guid, right.certificates[i].guid);
    EXPECT_EQ(left.certificates[i].data, right.certificates[i].data);
  }
}

class RealEvidenceTest : public ::testing::TestWithParam<const char*> {};

TEST_P(RealEvidenceTest, ComesBackByteForByteAndStillVerifies) {
  VHSM_NEED_VECTORS();
  const Vector vector = read_real(GetParam());
  const auto back = through_text(to_json(vector.evidence));
  ASSERT_EQ(outcome(back), "ok");
  expect_same(back.value(), vector.evidence);
  EXPECT_EQ(outcome(verify(back.value(), Roots{}, vector.options)), "ok");
}

INSTANTIATE_TEST_SUITE_P(Real, RealEvidenceTest,
                         ::testing::Values("01-milan-v2-vcek-gosevguest-debugpolicy",
                                           "02-milan-v2-vcek-virtee", "05-milan-v3-vcek-azure",
                                           "11-genoa-v3-vcek-ccf"));

/// A report of each product and version, as an emulated machine gives it.
Evidence emulated(Product product, std::uint32_t version) {
  EmulatorOptions options;
  options.product = product;
  options.report_version = version;
  options.policy |= 0xFF;
  Evidence evidence;
  evidence.report = unsigned_report(make_state(options).value(), ReportData{1, 2, 3}, 0);
  return evidence;
}

TEST(EvidenceJsonTest, EachProductAndVersionComesBack) {
  for (const Product product : {Product::kMilan, Product::kGenoa, Product::kTurin}) {
    for (std::uint32_t version = kOldestVersion; version <= kNewestVersion; ++version) {
      const Evidence evidence = emulated(product, version);
      const auto back = through_text(to_json(evidence));
      ASSERT_EQ(outcome(back), "ok") << product_name(product) << version;
      expect_same(back.value(), evidence);
    }
  }
}

TEST(EvidenceJsonTest, HasTrusteesMembers) {
  const json value = to_json(emulated(Product::kMilan, 3));
  const std::vector<std::string> expected{"author_key_digest",
                                          "chip_id",
                                          "committed",
                                          "committed_tcb",
                                          "cpuid_fam_id",
                                          "cpuid_mod_id",
                                          "cpuid_step",
                                          "current",
                                          "current_mit_vector",
                                          "current_tcb",
                                          "family_id",
                                          "guest_svn",
                                          "host_data",
                                          "id_key_digest",
                                          "image_id",
                                          "key_info",
                                          "launch_mit_vector",
                                          "launch_tcb",
                                          "measurement",
                                          "plat_info",
                                          "policy",
                                          "report_data",
                                          "report_id",
                                          "report_id_ma",
                                          "reported_tcb",
                                          "sig_algo",
                                          "signature",
                                          "version",
                                          "vmpl"};
  std::vector<std::string> members;
  for (const auto& [name, member] : value["attestation_report"].items()) members.push_back(name);
  EXPECT_EQ(members, expected);
  EXPECT_TRUE(value["cert_chain"].is_null());
  EXPECT_EQ(value["attestation_report"]["reported_tcb"].dump(),
            R"({"bootloader":4,"fmc":null,"microcode":219,"snp":24,"tee":0})");
  EXPECT_EQ(value["attestation_report"]["current"].dump(), R"({"build":29,"major":1,"minor":55})");
  EXPECT_TRUE(value["attestation_report"]["launch_mit_vector"].is_null());
  EXPECT_EQ(value["attestation_report"]["signature"]["r"].size(), 72U);
}

TEST(EvidenceJsonTest, NamesTheTcbsOfATurin) {
  const json value = to_json(emulated(Product::kTurin, 5));
  EXPECT_EQ(value["attestation_report"]["reported_tcb"].dump(),
            R"({"bootloader":1,"fmc":1,"microcode":81,"snp":4,"tee":1})");
  EXPECT_EQ(value["attestation_report"]["launch_mit_vector"], 0);
}

TEST(EvidenceJsonTest, AVersion2HasNoCpuid) {
  const json value = to_json(emulated(Product::kMilan, 2));
  EXPECT_TRUE(value["attestation_report"]["cpuid_fam_id"].is_null());
}

TEST(EvidenceJsonTest, CertificatesKeepTheirTypes) {
  Evidence evidence = emulated(Product::kMilan, 3);
  evidence.certificates = {{CertificateKind::kVcek, {}, {1, 2}},
                           {CertificateKind::kCrl, {}, {255}},
                           {CertificateKind::kOther, "ecae0c0f-9502-43b1-afa2-0ae2e0d565b6", {3}}};
  const json value = to_json(evidence);
  EXPECT_EQ(value["cert_chain"].dump(),
            R"([{"cert_type":"VCEK","data":[1,2]},{"cert_type":"CRL","data":[255]},)"
            R"({"cert_type":{"OTHER":"ecae0c0f-9502-43b1-afa2-0ae2e0d565b6"},"data":[3]}])");
  expect_same(through_text(value).value(), evidence);
}

TEST(EvidenceJsonTest, FullNumbersAreExact) {
  json value = to_json(emulated(Product::kMilan, 3));
  value["attestation_report"]["plat_info"] = 0xFFFFFFFFFFFFFFFFU;
  const auto back = through_text(value);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(UnverifiedReport(back.value().report).number<field::kPlatformInfo>(),
            0xFFFFFFFFFFFFFFFFU);
}

TEST(EvidenceJsonTest, EveryRequiredMemberIsRequired) {
  const json whole = to_json(emulated(Product::kMilan, 5));
  for (const auto& [name, member] : whole["attestation_report"].items()) {
    json value = whole;
    value["attestation_report"].erase(name);
    EXPECT_EQ(outcome(evidence_from_json(value)),
              "malformed data: a member of the evidence is missing or malformed")
        << name;
  }
}

TEST(EvidenceJsonTest, EveryMemberHasItsType) {
  const json whole = to_json(emulated(Product::kMilan, 5));
  for (const auto& [name, member] : whole["attestation_report"].items()) {
    for (const json& wrong : {json("text"), json(1.5), json(-1), json(true), json::array({1}),
                              json::object(), json(std::vector<int>(64, 256))}) {
      json value = whole;
      value["attestation_report"][name] = wrong;
      EXPECT_FALSE(evidence_from_json(value).ok()) << name << " = " << wrong;
    }
  }
}

TEST(EvidenceJsonTest, NumbersThatDoNotFitAreRefused) {
  json value = to_json(emulated(Product::kMilan, 3));
  value["attestation_report"]["vmpl"] = 0x100000000U;
  EXPECT_FALSE(evidence_from_json(value).ok());
  value = to_json(emulated(Product::kMilan, 3));
  value["attestation_report"]["cpuid_step"] = 256;
  EXPECT_FALSE(evidence_from_json(value).ok());
  const std::string text = to_json(emulated(Product::kMilan, 3)).dump();
  std::string too_large = text;
  const std::string member = "\"plat_info\":37";
  too_large.replace(too_large.find(member), member.size(), "\"plat_info\":18446744073709551616");
  EXPECT_FALSE(evidence_from_json(json::parse(too_large, nullptr, false)).ok());
}

TEST(EvidenceJsonTest, MembersThatTheVersionLacksAreRefused) {
  for (const char* name : {"launch_mit_vector", "current_mit_vector"}) {
    json value = to_json(emulated(Product::kMilan, 4));
    value["attestation_report"][name] = 1;
    EXPECT_EQ(outcome(evidence_from_json(value)),
              "malformed data: the evidence has a member that its report's version lacks");
  }
  json value = to_json(emulated(Product::kMilan, 2));
  value["attestation_report"]["cpuid_fam_id"] = 25;
  EXPECT_EQ(outcome(evidence_from_json(value)),
            "malformed data: the evidence has a member that its report's version lacks");
}

TEST(EvidenceJsonTest, AnFmcBelongsToATurinAlone) {
  json value = to_json(emulated(Product::kMilan, 3));
  value["attestation_report"]["current_tcb"]["fmc"] = 0;
  EXPECT_FALSE(evidence_from_json(value).ok());
  value = to_json(emulated(Product::kTurin, 3));
  value["attestation_report"]["current_tcb"]["fmc"] = nullptr;
  EXPECT_FALSE(evidence_from_json(value).ok());
}

TEST(EvidenceJsonTest, UnknownMembersAreIgnored) {
  json value = to_json(emulated(Product::kMilan, 3));
  value["attestation_report"]["news"] = 1;
  value["more"] = "x";
  EXPECT_TRUE(evidence_from_json(value).ok());
}

TEST(EvidenceJsonTest, AChainIsNullOrHasCertificates) {
  json value = to_json(emulated(Product::kMilan, 3));
  value.erase("cert_chain");
  EXPECT_TRUE(evidence_from_json(value).ok());
  const json good = json::array({{{"cert_type", "VCEK"}, {"data", {1}}}});
  value["cert_chain"] = good;
  EXPECT_TRUE(evidence_from_json(value).ok());
  for (const char* bad :
       {"[]", "{}", "1", "[1]", "[{}]", R"([{"cert_type":"VCEK"}])", R"([{"data":[1]}])",
        R"([{"cert_type":"VCEK","data":[]}])", R"([{"cert_type":"VCEK","data":[256]}])",
        R"([{"cert_type":"VCEK","data":"AA"}])", R"([{"cert_type":"XCEK","data":[1]}])",
        R"([{"cert_type":{"OTHER":"x"},"data":[1]}])", R"([{"cert_type":7,"data":[1]}])"}) {
    value["cert_chain"] = json::parse(bad);
    EXPECT_FALSE(evidence_from_json(value).ok()) << bad;
  }
  value["cert_chain"] = json::array();
  for (int i = 0; i < 33; ++i) value["cert_chain"].push_back(good[0]);
  EXPECT_FALSE(evidence_from_json(value).ok());
}

TEST(EvidenceJsonTest, OtherJsonIsRefused) {
  for (const char* text : {"null", "1", "[]", "{}", R"({"attestation_report":[]})"}) {
    EXPECT_FALSE(evidence_from_json(json::parse(text)).ok()) << text;
  }
  EXPECT_FALSE(evidence_from_json(json(json::value_t::discarded)).ok());
}

}  // namespace
}  // namespace vhsm::snp
