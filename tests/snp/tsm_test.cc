// SPDX-License-Identifier: Apache-2.0
//
// Our client of configfs-tsm, with the emulated kernel behind it.
#include "snp/tsm.h"

#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include "snp/annex.h"
#include "tests/snp/machine.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

class TsmTest : public ::testing::Test {
 protected:
  /// A guest at `vmpl`.
  void boot(unsigned vmpl, const Faults& faults = {}, const TsmFaults& tsm_faults = {}) {
    machine_ = std::make_unique<Machine>([&](nlohmann::json& state) { state["vmpl"] = vmpl; },
                                         faults, tsm_faults);
  }
  void SetUp() override { boot(0); }

  Result<std::unique_ptr<Platform>> open(TsmService service = TsmService::kNone,
                                         std::optional<unsigned> vmpl = {}) {
    return make_tsm(machine_->tsm_folder(), service, vmpl, kNoPace);
  }
  Result<Evidence> attest(TsmService service = TsmService::kNone,
                          std::optional<unsigned> vmpl = {}) {
    auto platform = VHSM_TRY(open(service, vmpl));
    return platform->attest(ReportData{4, 5}, kNoDeadline);
  }
  [[nodiscard]] std::size_t left_behind() const { return machine_->tsm().entries(); }

  std::unique_ptr<Machine> machine_;
};

TEST_F(TsmTest, GivesTheReportAndTheHostsCertificatesAndLeavesNothingBehind) {
  const auto evidence = attest();
  ASSERT_EQ(outcome(evidence), "ok");
  EXPECT_EQ(evidence.value().certificates.size(), 3U);
  EXPECT_EQ(evidence.value().annex.kind, AnnexKind::kNone);
  EXPECT_EQ(UnverifiedReport(evidence.value().report).bytes<field::kReportData>()[1], 5);
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, AsksAtTheLowestLevelThatTheKernelAllowsUnlessToldOtherwise) {
  boot(2);
  EXPECT_EQ(open().value()->info().vmpl, 2U);
  const auto report = [](const Result<Evidence>& evidence) {
    return UnverifiedReport(evidence.value().report).number<field::kVmpl>();
  };
  EXPECT_EQ(report(attest()), 2U);
  EXPECT_EQ(report(attest(TsmService::kNone, 3)), 3U);
  EXPECT_EQ(outcome(attest(TsmService::kNone, 1)),
            "platform failure: the firmware refuses the request: its VMPL is not between the "
            "guest's and 3");
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, AskAgainWhenSomebodyElseWrites) {
  boot(0, {}, {.other_writes = 3});
  EXPECT_EQ(outcome(attest()), "ok");
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, ButNotForEver) {
  boot(0, {}, {.other_writes = 1000});
  EXPECT_EQ(outcome(attest()), "platform failure: somebody else writes to each of our requests");
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, ABlobThatWasLostAtCloseIsNoticedBeforeItIsAnswered) {
  boot(0, {}, {.lost_stores = 1});
  EXPECT_EQ(outcome(attest()), "ok");
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, AnotherTechnologyIsNoPlatform) {
  boot(0, {}, {.provider = "tdx_guest"});
  EXPECT_EQ(open().error().code, Errc::kNoPlatform);
  EXPECT_EQ(left_behind(), 0U);
  boot(0, {}, {.provider = ""});
  EXPECT_EQ(outcome(open()),
            "no platform: configfs-tsm has no provider: load the module sev-guest");
}

TEST_F(TsmTest, AWipedKeyIsToldApartAndNeverTriedAgain) {
  boot(0, {.wiped = true});
  const auto platform = open().value();
  const std::string wiped =
      "platform failure: the guest's key (VMPCK) is gone after an earlier failure; reboot the "
      "guest";
  EXPECT_EQ(outcome(platform->attest({}, kNoDeadline)), wiped);
  const std::size_t made = machine_->tsm_folder()->names().size();
  EXPECT_EQ(outcome(platform->attest({}, kNoDeadline)), wiped);
  EXPECT_EQ(machine_->tsm_folder()->names().size(), made);
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, SaysThatCertificatesMayBeTooMany) {
  boot(0, {.too_many_certificates = true});
  EXPECT_EQ(outcome(attest()),
            "platform failure: the firmware or the host failed, or the host's certificates are too "
            "many for configfs-tsm (platform = sev-guest does without them)");
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, AReportOfAnotherSizeOrABrokenTableIsRefused) {
  for (const std::uint32_t size : {0U, 1183U, 1185U, 4000U}) {
    boot(0, {.report_bytes = size});
    EXPECT_FALSE(attest().ok()) << size;
  }
  boot(0, {.garbled_certificates = true});
  EXPECT_FALSE(attest().ok());
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, EachEntryHasANameOfItsOwn) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(attest().ok());
  const auto& names = machine_->tsm_folder()->names();
  EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
  for (const std::string& name : names) EXPECT_EQ(name.size(), std::string("vhsm-").size() + 32);
}

TEST_F(TsmTest, AFolderThatMayNotBeMadeIsToldApart) {
  machine_->tsm_folder()->refuse(EACCES);
  EXPECT_EQ(outcome(open()), "file error: this user may not make folders in configfs-tsm");
}

TEST_F(TsmTest, SvsmsReportIsOfLevelZeroAndBindsItsManifest) {
  boot(2);
  const auto evidence = attest(TsmService::kSvsm);
  ASSERT_EQ(outcome(evidence), "ok");
  EXPECT_EQ(UnverifiedReport(evidence.value().report).number<field::kVmpl>(), 0U);
  EXPECT_EQ(evidence.value().annex.kind, AnnexKind::kSvsmManifest);
  EXPECT_FALSE(evidence.value().annex.data.empty());
  EXPECT_EQ(open(TsmService::kSvsm).value()->info().kind, "svsm");
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, AManifestThatTheReportDoesNotBindIsRefused) {
  boot(2);
  Evidence evidence = attest(TsmService::kSvsm).value();
  EXPECT_EQ(outcome(check_binding(evidence, ReportData{4, 5}, "svsm")), "ok");
  EXPECT_NE(outcome(check_binding(evidence, ReportData{4, 6}, "svsm")), "ok");
  evidence.annex.data.back() ^= 1;
  EXPECT_NE(outcome(check_binding(evidence, ReportData{4, 5}, "svsm")), "ok");
}

TEST_F(TsmTest, WithoutSvsmItSaysSo) {
  EXPECT_EQ(outcome(attest(TsmService::kSvsm)),
            "platform failure: there is no SVSM above this guest, or the kernel is too old");
  EXPECT_EQ(left_behind(), 0U);
}

TEST_F(TsmTest, ItDerivesNoKeys) {
  EXPECT_EQ(open().value()->derive_key({}, kNoDeadline).error().code, Errc::kUnsupported);
}

TEST(OpenTsmTest, WithoutConfigfsThereIsNoPlatform) {
  EXPECT_EQ(open_tsm("/nonexistent", TsmService::kNone, {}).error().code, Errc::kNoPlatform);
}

}  // namespace
}  // namespace vhsm::snp
