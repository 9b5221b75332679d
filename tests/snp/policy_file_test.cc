// SPDX-License-Identifier: Apache-2.0
#include "snp/policy_file.h"

#include <gmock/gmock.h>
#include <openssl/pem.h>

#include "snp/id_block.h"
#include "snp/policy_keys.h"
#include "tests/base/temp_dir.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using testing::HasSubstr;

const std::string kMeasurement(96, 'a');
const std::string kLeast =
    "report_data = any\nvmpl = 0\nmeasurement = " + kMeasurement + "\nminimum_tcb = any\n";

Result<VerifierPolicy> parsed(const std::string& lines) {
  return parse_policy("[snp_policy]\n" + lines, "p.cnf");
}

/// What is wrong with `lines`, and where.
std::string complaint(const std::string& lines) {
  const auto policy = parsed(lines);
  if (policy.ok()) return "ok";
  return std::string(policy.error().subject.text()) + " | " + policy.error().what.c_str();
}

TEST(PolicyFileTest, TheLeastThatAPolicyMustSayIsEnough) { EXPECT_EQ(complaint(kLeast), "ok"); }

TEST(PolicyFileTest, AnEmptyPolicyIsAnError) {
  EXPECT_EQ(complaint(""), "p.cnf | the report policy does not say which REPORT_DATA is right");
  EXPECT_EQ(outcome(parse_policy("", "p.cnf")),
            "bad configuration: this file has no section [snp_policy]");
}

TEST(PolicyFileTest, EachPartThatAVerifierMustDecideIsAskedFor) {
  for (const char* key : {"report_data", "vmpl", "measurement", "minimum_tcb"}) {
    std::string lines = kLeast;
    lines.insert(lines.find(key), "#");
    EXPECT_THAT(complaint(lines), testing::StartsWith("p.cnf | the report policy ")) << key;
  }
}

TEST(PolicyFileTest, KeysOfTheOwnerStandForMeasurements) {
  std::string lines = kLeast;
  lines.replace(lines.find("measurement"), 11, "id_key_digest");
  EXPECT_EQ(complaint(lines), "ok");
  lines.replace(lines.find("id_key_digest"), 13, "author_key_digest");
  EXPECT_EQ(complaint(lines), "ok");
}

TEST(PolicyFileTest, UnlessToldOtherwiseItAsksForEccAndACompleteAliasCheck) {
  constexpr auto kDefault = platform_bit::kEcc | platform_bit::kAliasCheckComplete;
  EXPECT_EQ(parsed(kLeast).value().report.required_platform_bits, kDefault);
  EXPECT_EQ(parsed(kLeast + "platform_requires = none").value().report.required_platform_bits, 0U);
}

TEST(PolicyFileTest, UnknownPlatformBitsStayForbidden) {
  const auto policy = parsed(kLeast + "platform_forbids = none").value();
  EXPECT_EQ(policy.report.forbidden_platform_bits, platform_bit::kReservedMask);
}

TEST(PolicyFileTest, EveryKeyReachesThePolicy) {
  const VerifierPolicy policy =
      parsed(
          kLeast + "id_key_digest = " + kMeasurement + ", " + kMeasurement +
          "\n"
          "author_key_digest = " +
          kMeasurement +
          "\n"
          "require_id_block = yes\nrequire_author_key = yes\n"
          "family_id = 00112233445566778899aabbccddeeff\n"
          "image_id = 00112233445566778899aabbccddeeff\n"
          "host_data = " +
          std::string(64, 'b') + "\nreport_id = " + std::string(64, 'c') +
          "\n"
          "report_id_ma = " +
          std::string(64, 'd') +
          "\nminimum_guest_svn = 7\n"
          "allow_debug = yes\nallow_migration = yes\nallow_cxl = yes\nallow_smt = no\n"
          "policy_requires = single_socket page_swap_disabled\nminimum_abi = 1.55\n"
          "products = Genoa, Turin\nchip_id = " +
          std::string(128, 'e') +
          "\n"
          "platform_requires = alias_check\nplatform_forbids = smt, tio\n"
          "minimum_launch_tcb = Turin:fmc=1:bootloader=2:tee=3:snp=4:microcode=5\n"
          "minimum_firmware = 1.55.21\nallow_provisional_firmware = no\n"
          "launch_mitigations = 0x3\ncurrent_mitigations = 5\n"
          "versions = 3 5\nsigning_keys = vlek\ncloud_providers = CN=cc-us-east-2.amazonaws.com\n"
          "allow_masked_chip_id = yes\nrequire_crl = yes\ncrl_max_age = 30\n")
          .value();
  const ReportPolicy& report = policy.report;
  EXPECT_EQ(report.id_key_digests.size(), 2U);
  EXPECT_EQ(report.author_key_digests.size(), 1U);
  EXPECT_TRUE(report.require_id_block && report.require_author_key);
  EXPECT_EQ(report.family_ids.at(0).value[1], 0x11);
  EXPECT_EQ(report.image_ids.at(0).value[15], 0xFF);
  EXPECT_EQ(report.host_data.at(0).value[0], 0xBB);
  EXPECT_EQ(report.report_ids.at(0).value[0], 0xCC);
  EXPECT_EQ(report.agent_report_ids.at(0).value[0], 0xDD);
  EXPECT_EQ(report.minimum_guest_svn, 7U);
  EXPECT_TRUE(report.allow_debug && report.allow_migration && report.allow_cxl);
  EXPECT_FALSE(report.allow_smt);
  EXPECT_EQ(report.required_policy_bits,
            policy_bit::kSingleSocketRequired | policy_bit::kPageSwapDisabled);
  EXPECT_EQ(report.minimum_abi, (AbiVersion{1, 55}));
  EXPECT_EQ(report.products, (std::vector{Product::kGenoa, Product::kTurin}));
  EXPECT_EQ(report.chip_ids.at(0).value[63], 0xEE);
  EXPECT_EQ(report.required_platform_bits, platform_bit::kAliasCheckComplete);
  EXPECT_EQ(report.forbidden_platform_bits,
            platform_bit::kSmt | platform_bit::kTio | platform_bit::kReservedMask);
  EXPECT_EQ(report.minimum_launch_tcb.at(0), (MinimumTcb{Product::kTurin, {1, 2, 3, 4, 5}}));
  EXPECT_EQ(report.minimum_firmware, (FirmwareVersion{1, 55, 21}));
  EXPECT_FALSE(report.allow_provisional_firmware);
  EXPECT_EQ(report.required_launch_mitigations, 3U);
  EXPECT_EQ(report.required_current_mitigations, 5U);
  const VerifyOptions& genuine = policy.genuine;
  EXPECT_EQ(genuine.versions, (std::vector<std::uint32_t>{3, 5}));
  EXPECT_TRUE(genuine.allow_vlek && !genuine.allow_vcek);
  EXPECT_EQ(genuine.csp_ids, std::vector<std::string>{"CN=cc-us-east-2.amazonaws.com"});
  EXPECT_TRUE(genuine.allow_masked_chip_id && genuine.require_crl);
  EXPECT_EQ(genuine.crl_max_age, std::chrono::days(30));
}

TEST(PolicyFileTest, ReadsReportDataAndMinimaOfProducts) {
  std::string lines = kLeast;
  lines.replace(lines.find("any"), 3, std::string(128, '1'));
  lines.replace(lines.find("minimum_tcb = any"), 17,
                "minimum_tcb = Milan:snp=24:microcode=219 Genoa:snp=23:microcode=84");
  const auto policy = parsed(lines).value();
  EXPECT_EQ(policy.report.report_data->at(63), 0x11);
  EXPECT_EQ(policy.report.minimum_tcb.at(1), (MinimumTcb{Product::kGenoa, {0, 0, 0, 23, 84}}));
}

TEST(PolicyFileTest, EveryKeyRefusesWhatItDoesNotAllow) {
  for (const detail::PolicyKey& key : detail::policy_keys()) {
    for (const char* value : {"@", "-1", "0x", "yes no", "", "99999999999999999999"}) {
      // A provider's name can be any word.
      if (key.name == "cloud_providers" && *value != '\0') continue;
      const std::string line = std::string(key.name) + " = " + value + "\n";
      const std::string wrong = complaint(kLeast + line);
      EXPECT_THAT(wrong, HasSubstr(std::string("p.cnf: ") + std::string(key.name) + " = ")) << line;
    }
  }
}

TEST(PolicyFileTest, UnknownKeysAndBrokenSyntaxAreNamed) {
  EXPECT_EQ(complaint(kLeast + "measurment = x"), "p.cnf: measurment = x | there is no such key");
  EXPECT_EQ(complaint(kLeast + "what is this"),
            "p.cnf:6 | this line is not in OpenSSL's configuration syntax");
  EXPECT_THAT(complaint(kLeast + "minimum_launch_tcb = Milan:snp=1 Milan:snp=2"),
              HasSubstr("two minimum TCBs for one product"));
  EXPECT_THAT(complaint(kLeast + "minimum_launch_tcb = Milan"),
              HasSubstr("a minimum TCB without levels"));
}

TEST(PolicyFileTest, FindsKeyFilesBesideThePolicy) {
  const test::TempDir folder;
  const Issuer leaf = make_leaf(authority().ask, "SEV-VCEK", Draft().extensions).value();
  const ossl::Bio pem(BIO_new(BIO_s_mem()));
  ASSERT_EQ(PEM_write_bio_PUBKEY(pem.get(), leaf.key.get()), 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(pem.get(), &text);
  folder.write("owner.pem", {text, static_cast<std::size_t>(size)});
  std::string lines = kLeast;
  lines.replace(lines.find("measurement = " + kMeasurement), 14 + kMeasurement.size(),
                "id_key = owner.pem");
  const std::string path = folder.write("policy.cnf", "[snp_policy]\n" + lines);
  const auto policy = read_policy(path);
  ASSERT_EQ(outcome(policy), "ok");
  EXPECT_EQ(policy.value().report.id_key_digests.at(0).value, key_digest(leaf.key.get()).value());
  EXPECT_EQ(outcome(read_policy(path + "x")), "file error: this file cannot be opened");
}

TEST(PolicyFileTest, TheExampleThatIsInstalledIsAPolicy) {
  EXPECT_EQ(outcome(read_policy(VHSM_EXAMPLES "/snp-policy.cnf")), "ok");
}

}  // namespace
}  // namespace vhsm::snp
