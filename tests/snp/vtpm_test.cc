// SPDX-License-Identifier: Apache-2.0
//
// Azure's report: a real one, and what a host could make of it; tpm2-tools by scripts in their
// place.
#include "snp/vtpm.h"

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "snp/annex.h"
#include "snp/child.h"
#include "snp/hex.h"
#include "snp/report_signature.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using std::chrono::seconds;

constexpr const char* kVector = "05-milan-v3-vcek-azure/hcl.bin";

std::string vector_path() { return vectors_folder() + "/" + kVector; }

TEST(RealHclTest, HoldsTheReportThatTheVectorHas) {
  VHSM_NEED_VECTORS();
  const auto evidence = parse_hcl_report(read_vector(kVector));
  ASSERT_EQ(outcome(evidence), "ok");
  const auto report = read_vector("05-milan-v3-vcek-azure/report.bin");
  EXPECT_TRUE(std::ranges::equal(evidence.value().report, report));
}

TEST(RealHclTest, BindsItsClaimsAndTheUserDataInThem) {
  VHSM_NEED_VECTORS();
  Evidence evidence = parse_hcl_report(read_vector(kVector)).value();
  EXPECT_EQ(outcome(check_binding(evidence, {}, "vtpm")), "ok");
  EXPECT_EQ(outcome(check_binding(evidence, ReportData{1}, "vtpm")),
            "platform failure: the vTPM's report binds other user-data than was asked for");
  for (std::uint8_t& byte : evidence.annex.data) {
    byte ^= 1;
    EXPECT_FALSE(check_binding(evidence, {}, "vtpm").ok());
    byte ^= 1;
  }
}

TEST(RealHclTest, AsAFileGivesEvidenceForItsOwnDataAlone) {
  VHSM_NEED_VECTORS();
  const auto platform = open_platform("vtpm:" + vector_path(), {});
  ASSERT_EQ(outcome(platform), "ok");
  EXPECT_EQ(platform.value()->info().kind, "vtpm");
  EXPECT_EQ(outcome(platform.value()->attest({}, kNoDeadline)), "ok");
  EXPECT_EQ(platform.value()->attest(ReportData{1}, kNoDeadline).error().code, Errc::kPlatform);
}

TEST(RealHclTest, EachTruncationIsRefused) {
  VHSM_NEED_VECTORS();
  const auto blob = read_vector(kVector);
  constexpr std::size_t kUsed = 0x4D4 + 1110;
  for (std::size_t size = 0; size < kUsed; ++size) {
    EXPECT_EQ(parse_hcl_report(std::span(blob).first(size)).error().code, Errc::kBadFormat);
  }
}

/// A blob like Azure's around any report and claims.
std::vector<std::uint8_t> make_blob(const std::string& claims, const ReportData& report_data) {
  Draft draft;
  draft.data = report_data;
  return hcl_blob(forge(draft).report, claims);
}

TEST(HclTest, OtherKindsOfReportAreRefused) {
  const auto good = make_blob("{}", {});
  ASSERT_TRUE(parse_hcl_report(good).ok());
  for (const auto& [offset, code] : std::vector<std::pair<std::size_t, Errc>>{
           {0, Errc::kBadFormat},         // magic
           {0x4C4, Errc::kUnsupported},   // version
           {0x4C8, Errc::kBadFormat},     // report type
           {0x4CC, Errc::kUnsupported},   // hash
           {0x4D2, Errc::kBadFormat}}) {  // size of the claims
    auto blob = good;
    blob[offset] ^= 0x7F;
    EXPECT_EQ(parse_hcl_report(blob).error().code, code) << offset;
  }
}

TEST(HclTest, ClaimsWithoutUserDataBindNothing) {
  for (const std::string claims :
       {"", "[]", "{}", "{\"user-data\":7}", "{\"user-data\":\"00\"}", "{\"user-data\":\"zz\"}"}) {
    const Evidence evidence = parse_hcl_report(make_blob(claims, sha256_of(claims))).value();
    EXPECT_EQ(check_binding(evidence, {}, "vtpm").error().code, Errc::kBadFormat) << claims;
  }
}

// ---- By tpm2-tools ---------------------------------------------------------------------------

/// An Azure VM whose tools are scripts.
class VtpmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(paths_.chassis_tag) << "7783-7084-3265-9085-8269-3286-77\n";
    std::ofstream(paths_.device) << "";
    script("tpm2_nvdefine", "touch " + file("defined"));
    script("tpm2_nvwrite", "[ -e " + file("defined") + " ] && cat > " + file("user-data"));
    script("tpm2_nvread", "[ \"$3\" = 0x01400001 ] && cat " + file("blob"));
  }
  [[nodiscard]] std::string file(const std::string& name) const {
    return folder_.path() + "/" + name;
  }
  void script(const std::string& name, const std::string& body) const {
    std::ofstream(file(name)) << "#!/bin/sh\n" << body << "\n";
    ::chmod(file(name).c_str(), 0700);
  }
  void hold(const std::vector<std::uint8_t>& blob) const {
    std::ofstream(file("blob"), std::ios::binary)
        .write(reinterpret_cast<const char*>(blob.data()),
               static_cast<std::streamsize>(blob.size()));
  }
  Result<Evidence> attest(const ReportData& data, Clock::duration patience = seconds(20)) const {
    return open_vtpm(paths_).value()->attest(data, Clock::now() + patience);
  }

  TemporaryFolder folder_;
  VtpmPaths paths_{file("tpmrm0"), file("tag"), folder_.path()};
};

TEST_F(VtpmTest, WritesWhatIsAskedForAndReadsTheReportThatBindsIt) {
  const ReportData data{1, 2, 3};
  hold(make_blob(claims_for(data), sha256_of(claims_for(data))));
  EXPECT_EQ(outcome(attest(data)), "ok");
  EXPECT_EQ(std::filesystem::file_size(file("user-data")), kReportDataBytes);
}

TEST_F(VtpmTest, AReportThatIsNotRenewedIsNotTakenForAnAnswer) {
  hold(make_blob(claims_for({}), sha256_of(claims_for({}))));
  EXPECT_FALSE(attest(ReportData{1}, seconds(0)).ok());
  script("tpm2_nvread", "cat " + file("blob"));
  EXPECT_EQ(outcome(attest(ReportData{1}, seconds(2))),
            "platform failure: the vTPM's report binds other user-data than was asked for");
}

TEST_F(VtpmTest, ToolsThatFailHangOrTalkTooMuchAreErrors) {
  script("tpm2_nvread", "exit 3");
  EXPECT_EQ(outcome(attest({})), "file error: this program ended with a failure");
  script("tpm2_nvread", "head -c 100000 /dev/zero");
  EXPECT_EQ(outcome(attest({})), "file error: this program prints too much");
  script("tpm2_nvread", "exec sleep 60");
  EXPECT_EQ(outcome(attest({}, seconds(2))),
            "platform failure: this program did not answer in time");
  script("tpm2_nvread", "cat " + file("blob") + "; exec >&-; exec sleep 60");
  EXPECT_EQ(outcome(attest({}, seconds(2))),
            "platform failure: this program did not answer in time");
  std::filesystem::remove(file("tpm2_nvread"));
  EXPECT_EQ(attest({}).error().code, Errc::kIo);
}

TEST_F(VtpmTest, ElsewhereThanOnAzureThereIsNone) {
  std::ofstream(paths_.chassis_tag) << "No Asset Tag\n";
  EXPECT_EQ(open_vtpm(paths_).error().code, Errc::kNoPlatform);
  paths_.chassis_tag = "/nonexistent";
  EXPECT_EQ(open_vtpm(paths_).error().code, Errc::kNoPlatform);
}

TEST_F(VtpmTest, AnAzureVmWithoutVtpmHasNone) {
  std::filesystem::remove(paths_.device);
  EXPECT_EQ(open_vtpm(paths_).error().code, Errc::kNoPlatform);
}

}  // namespace
}  // namespace vhsm::snp
