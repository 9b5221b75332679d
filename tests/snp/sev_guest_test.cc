// SPDX-License-Identifier: Apache-2.0
//
// The guest device without hardware: a fake that answers as the kernel's driver does.
#include "snp/sev_guest.h"

#include <linux/sev-guest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <fstream>

#include "snp/certificate_table.h"
#include "tests/snp/machine.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

// Our layouts against the installed header's.
static_assert(kGetReport == SNP_GET_REPORT);
static_assert(kGetDerivedKey == SNP_GET_DERIVED_KEY);
static_assert(kGetExtendedReport == SNP_GET_EXT_REPORT);
static_assert(sizeof(GuestRequest) == sizeof(snp_guest_request_ioctl));
static_assert(sizeof(ReportRequest) == sizeof(snp_report_req));
static_assert(sizeof(ExtendedReportRequest) == sizeof(snp_ext_report_req));
static_assert(sizeof(ReportResponse) == sizeof(snp_report_resp));
static_assert(offsetof(GuestRequest, request_address) ==
              offsetof(snp_guest_request_ioctl, req_data));
static_assert(offsetof(GuestRequest, response_address) ==
              offsetof(snp_guest_request_ioctl, resp_data));
static_assert(offsetof(ReportRequest, vmpl) == offsetof(snp_report_req, vmpl));
static_assert(offsetof(ExtendedReportRequest, certificates_address) ==
              offsetof(snp_ext_report_req, certs_address));
static_assert(offsetof(ExtendedReportRequest, certificates_bytes) ==
              offsetof(snp_ext_report_req, certs_len));

/// One answer of the device.
struct Answer {
  int error = 0;
  std::uint64_t exit_info = 0;
  std::uint32_t status = 0;
  std::uint32_t report_bytes = kReportBytes;
  std::uint32_t certificates_need = 0;
  std::vector<std::uint8_t> table{};
  bool other_data = false;
};

struct Seen {
  unsigned long code;
  ReportRequest request;
  std::uint32_t room;
  std::uint64_t exit_info;
  std::uint8_t message_version;
};

/// What the fake device and its test share.
struct Script {
  std::deque<Answer> answers;
  std::vector<Seen> seen;
};

template <class T>
T* at(std::uint64_t address) {
  return reinterpret_cast<T*>(address);
}

class FakeDevice final : public GuestDevice {
 public:
  explicit FakeDevice(Script& script) : script_(script) {}

  int ioctl(unsigned long code, GuestRequest& call) override {
    EXPECT_FALSE(script_.answers.empty()) << "one request too many";
    if (script_.answers.empty()) return ENOTTY;
    const Answer answer = script_.answers.front();
    script_.answers.pop_front();
    note(code, call);
    if (code == kGetExtendedReport) give_table(answer, call);
    if (answer.exit_info != 0) call.exit_info = answer.exit_info;
    if (answer.error == 0) give_report(answer, call);
    return answer.error;
  }

 private:
  void note(unsigned long code, const GuestRequest& call) {
    const bool extended = code == kGetExtendedReport;
    script_.seen.push_back(
        {code, *at<ReportRequest>(call.request_address),
         extended ? at<ExtendedReportRequest>(call.request_address)->certificates_bytes : 0,
         call.exit_info, call.message_version});
  }
  static void give_table(const Answer& answer, const GuestRequest& call) {
    auto* request = at<ExtendedReportRequest>(call.request_address);
    if (answer.certificates_need != 0) request->certificates_bytes = answer.certificates_need;
    if (answer.error == 0 && !answer.table.empty()) {
      ASSERT_LE(answer.table.size(), request->certificates_bytes);
      std::memcpy(at<std::uint8_t>(request->certificates_address), answer.table.data(),
                  answer.table.size());
    }
  }
  static void give_report(const Answer& answer, const GuestRequest& call) {
    const auto* request = at<ReportRequest>(call.request_address);
    auto* response = at<ReportResponse>(call.response_address);
    response->status = answer.status;
    response->report_bytes = answer.report_bytes;
    response->report = unsigned_report(make_state({}).value(), request->user_data, request->vmpl);
    if (answer.other_data) response->report[field::kReportData.offset] ^= 1;
  }

  Script& script_;
};

constexpr std::uint64_t kInvalidLength = 1ULL << 32;

class SevGuestTest : public ::testing::Test {
 protected:
  Result<Evidence> attest() { return guest_.attest(ReportData{7, 8, 9}, kNoDeadline); }
  std::string verdict(Answer answer) {
    script_.answers = {std::move(answer)};
    return outcome(attest());
  }

  std::vector<std::uint8_t> table_ =
      write_certificate_table(std::array{Certificate{CertificateKind::kVcek, {}, {1, 2, 3}}})
          .value();
  Script script_;
  SevGuest guest_{std::make_unique<FakeDevice>(script_), 1, kNoPace};
};

TEST_F(SevGuestTest, AHostWithoutCertificatesGivesTheReportAlone) {
  script_.answers = {{}};
  const auto evidence = attest();
  ASSERT_EQ(outcome(evidence), "ok");
  EXPECT_TRUE(evidence.value().certificates.empty());
  const UnverifiedReport report(evidence.value().report);
  EXPECT_EQ(report.bytes<field::kReportData>()[2], 9);
  EXPECT_EQ(report.number<field::kVmpl>(), 1U);
  ASSERT_EQ(script_.seen.size(), 1U);
  EXPECT_EQ(script_.seen[0].code, kGetExtendedReport);
  EXPECT_EQ(script_.seen[0].request.vmpl, 1U);
  EXPECT_EQ(script_.seen[0].room, 0U);
  EXPECT_EQ(script_.seen[0].exit_info, 0U);
  EXPECT_EQ(script_.seen[0].message_version, 1);
}

TEST_F(SevGuestTest, AsksAgainWithTheRoomThatTheHostNeeds) {
  script_.answers = {{.error = EIO, .exit_info = kInvalidLength, .certificates_need = 4096},
                     {.table = table_}};
  const auto evidence = attest();
  ASSERT_EQ(outcome(evidence), "ok");
  ASSERT_EQ(evidence.value().certificates.size(), 1U);
  EXPECT_EQ(evidence.value().certificates[0].kind, CertificateKind::kVcek);
  EXPECT_EQ(script_.seen[1].room, 4096U);
}

TEST_F(SevGuestTest, RemembersTheRoomForTheNextReport) {
  script_.answers = {{.error = EIO, .exit_info = kInvalidLength, .certificates_need = 4096},
                     {.table = table_},
                     {.table = table_}};
  ASSERT_TRUE(attest().ok());
  ASSERT_TRUE(attest().ok());
  EXPECT_EQ(script_.seen[2].room, 4096U);
}

TEST_F(SevGuestTest, FollowsATableThatGrowsButNotForEver) {
  script_.answers = {{.error = EIO, .exit_info = kInvalidLength, .certificates_need = 4096},
                     {.error = EIO, .exit_info = kInvalidLength, .certificates_need = 8192},
                     {.error = EIO, .exit_info = kInvalidLength, .certificates_need = 12288},
                     {}};
  const auto evidence = attest();
  ASSERT_EQ(outcome(evidence), "ok");
  EXPECT_EQ(script_.seen.back().code, kGetReport);
}

TEST_F(SevGuestTest, ATableOverSixteenKibibytesIsDoneWithout) {
  script_.answers = {{.error = EIO, .exit_info = kInvalidLength, .certificates_need = 0x5000}, {}};
  ASSERT_EQ(outcome(attest()), "ok");
  EXPECT_EQ(script_.seen.back().code, kGetReport);
}

TEST_F(SevGuestTest, ANeedThatIsNoMoreIsNotBelieved) {
  script_.answers = {{.error = EIO, .exit_info = kInvalidLength}, {}};
  ASSERT_EQ(outcome(attest()), "ok");
  EXPECT_EQ(script_.seen.back().code, kGetReport);
}

TEST_F(SevGuestTest, FallsBackToAPlainReportWhenTheExtendedIsRefused) {
  script_.answers = {{.error = EINVAL}, {}};
  ASSERT_EQ(outcome(attest()), "ok");
  EXPECT_EQ(script_.seen.back().code, kGetReport);
}

TEST_F(SevGuestTest, AnUnsignedButWellFormedTableIsPassedOnAndABrokenOneRefused) {
  auto broken = table_;
  broken[16] = 0;  // into the header
  script_.answers = {{.error = EIO, .exit_info = kInvalidLength, .certificates_need = 4096},
                     {.table = broken}};
  EXPECT_EQ(attest().error().code, Errc::kBadFormat);
}

/// A failure that the driver survives leaves the guest usable; after the others nobody asks any
/// more.
struct FailureCase {
  Answer answer;
  std::string sentence;
  bool final;
};

TEST_F(SevGuestTest, EachFailureHasItsSentenceAndAFinalOneIsNeverTriedAgain) {
  const std::vector<FailureCase> cases{
      {{.error = ENOTTY},
       "the guest's key (VMPCK) is gone after an earlier failure; reboot the guest",
       true},
      {{.error = ETIMEDOUT},
       "the host was busy for a minute; the guest's key (VMPCK) is gone until it reboots",
       true},
      {{.error = EBADMSG}, "the firmware's answer does not authenticate; reboot the guest", true},
      {{.error = EIO, .exit_info = 0x16}, "the firmware failed; reboot the guest", true},
      {{.error = EIO, .exit_info = 5ULL << 32}, "the host failed; reboot the guest", true},
      {{.error = EIO, .exit_info = 0xFF},
       "the numbers of this guest's messages are used up; reboot the guest",
       true},
      {{.error = EFAULT}, "the kernel cannot read the request", false},
      {{.error = EPERM, .exit_info = kInvalidLength}, "the guest device failed", false},
  };
  for (const FailureCase& one : cases) {
    Script script;
    SevGuest guest(std::make_unique<FakeDevice>(script), 1, kNoPace);
    script.answers = {one.answer, {}};
    EXPECT_EQ(outcome(guest.attest({}, kNoDeadline)), "platform failure: " + one.sentence);
    EXPECT_EQ(guest.attest({}, kNoDeadline).ok(), !one.final) << one.sentence;
    EXPECT_EQ(script.seen.size(), one.final ? 1U : 2U) << one.sentence;
  }
}

TEST_F(SevGuestTest, StatusAndSizeAreChecked) {
  EXPECT_EQ(verdict({.status = 0x16}),
            "platform failure: the firmware refuses the request: its VMPL is not between the "
            "guest's and 3, or its versions are above the guest's");
  EXPECT_EQ(verdict({.status = 0x27}),
            "platform failure: the firmware has no key of the kind asked for");
  EXPECT_EQ(verdict({.status = 1}), "platform failure: the firmware answers with an error status");
  for (const std::uint32_t size : {0U, 1183U, 1185U, 0xFFFFFFFFU}) {
    EXPECT_EQ(verdict({.report_bytes = size}),
              "platform failure: the firmware's report is not 1184 bytes");
  }
}

TEST_F(SevGuestTest, AReportForOtherDataIsRefused) {
  EXPECT_EQ(verdict({.other_data = true}),
            "platform failure: the firmware's report is for other REPORT_DATA");
}

TEST_F(SevGuestTest, NeverRetriesAFailure) {
  EXPECT_NE(verdict({.error = ENOTTY}), "ok");
  EXPECT_EQ(script_.seen.size(), 1U);
}

TEST(RunningVmplTest, IsZeroWhereTheKernelDoesNotSay) {
  EXPECT_EQ(running_vmpl("/nonexistent"), 0U);
  const std::string path = ::testing::TempDir() + "vhsm-vmpl-" + std::to_string(::getpid());
  std::ofstream(path) << "2\n";
  EXPECT_EQ(running_vmpl(path), 2U);
  std::ofstream(path) << "x\n";
  EXPECT_EQ(running_vmpl(path), 0U);
  ::unlink(path.c_str());
}

TEST(OpenPlatformTest, NamesMustBeKnown) {
  EXPECT_EQ(open_platform("tpm", {}).error().code, Errc::kBadConfig);
  EXPECT_EQ(open_platform("emulator:", {}).error().code, Errc::kBadConfig);
  EXPECT_EQ(open_platform("", {}).error().code, Errc::kBadConfig);
  EXPECT_EQ(open_platform("auto", 4).error().code, Errc::kBadConfig);
  EXPECT_EQ(open_platform("none", {}).error().code, Errc::kNoPlatform);
}

TEST(OpenPlatformTest, WithoutTheDeviceThereIsNoPlatform) {
  if (::access(kSevGuestPath, F_OK) == 0) GTEST_SKIP() << "this machine has /dev/sev-guest";
  EXPECT_EQ(open_platform("auto", {}).error().code, Errc::kNoPlatform);
  EXPECT_EQ(open_platform("sev-guest", {}).error().code, Errc::kNoPlatform);
}

TEST(OpenPlatformTest, AnswersOnRealHardware) {
  if (::access(kSevGuestPath, R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/sev-guest here";
  EXPECT_EQ(outcome(open_platform("sev-guest", {}).value()->attest({}, kNoDeadline)), "ok");
}

}  // namespace
}  // namespace vhsm::snp
