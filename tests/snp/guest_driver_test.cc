// SPDX-License-Identifier: Apache-2.0
//
// The emulated kernel driver: against the rules of the real one, and with our own client of it.
#include "snp/tools/guest_driver.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "snp/certificate_table.h"
#include "snp/sev_guest.h"
#include "tests/snp/machine.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using std::chrono::seconds;

/// This process's memory, but for address 1, which is not mapped.
class PatchyMemory final : public UserMemory {
 public:
  bool read(std::uint64_t address, std::span<std::uint8_t> bytes) override {
    if (address == 1) return false;
    std::memcpy(bytes.data(), reinterpret_cast<const void*>(address), bytes.size());
    return true;
  }
  bool write(std::uint64_t address, std::span<const std::uint8_t> bytes) override {
    if (address == 1) return false;
    std::memcpy(reinterpret_cast<void*>(address), bytes.data(), bytes.size());
    return true;
  }
};

const EmulatedFirmware& firmware() {
  static const EmulatedFirmware opened = EmulatedFirmware::open(VHSM_TEST_EMULATOR).value();
  return opened;
}

std::uint64_t address_of(const void* object) { return reinterpret_cast<std::uintptr_t>(object); }

class GuestDriverTest : public ::testing::Test {
 protected:
  void misbehave(const Faults& faults) {
    driver_ = std::make_unique<GuestDriver>(
        firmware(), faults, [this](seconds time) { paused_ += time; },
        [this] { return TimePoint(seconds(1000)) + paused_; });
  }
  void SetUp() override {
    misbehave({});
    call_.request_address = address_of(&request_);
    call_.response_address = address_of(&response_);
  }
  int ioctl(unsigned long code = kGetReport) {
    return driver_->ioctl(code, address_of(&call_), memory_);
  }
  Result<Evidence> attest(unsigned vmpl = 0) {
    return SevGuest(std::make_unique<DriverDevice>(*driver_), vmpl, kNoPace)
        .attest(ReportData{1, 2}, kNoDeadline);
  }

  seconds paused_{0};
  PatchyMemory memory_;
  std::unique_ptr<GuestDriver> driver_;
  GuestRequest call_;
  ReportRequest request_;
  ReportResponse response_;
};

TEST_F(GuestDriverTest, GivesOurClientAReportWithTheHostsCertificates) {
  const auto evidence = attest();
  ASSERT_EQ(outcome(evidence), "ok");
  EXPECT_EQ(evidence.value().certificates.size(), 3U);
  EXPECT_EQ(evidence.value().report[field::kReportData.offset + 1], 2);
}

TEST_F(GuestDriverTest, WritesTheArgumentBackOnlyWhenThereIsSomethingToSay) {
  call_.exit_info = 77;
  EXPECT_EQ(ioctl(), 0);
  EXPECT_EQ(call_.exit_info, 77U);
  EXPECT_EQ(response_.report_bytes, kReportBytes);
}

TEST_F(GuestDriverTest, RefusesMessageVersionZeroAndNullAddresses) {
  call_.message_version = 0;
  EXPECT_EQ(ioctl(), EINVAL);
  EXPECT_EQ(call_.exit_info, 0U);
  call_.message_version = 1;
  call_.request_address = 0;
  EXPECT_EQ(ioctl(), EINVAL);
  EXPECT_EQ(call_.exit_info, 0xFFU);
}

TEST_F(GuestDriverTest, UnreadableMemoryIsAFault) {
  EXPECT_EQ(driver_->ioctl(kGetReport, 1, memory_), EFAULT);
  call_.request_address = 1;
  EXPECT_EQ(ioctl(), EFAULT);
  EXPECT_EQ(call_.exit_info, 0xFFU);
  call_.request_address = address_of(&request_);
  call_.response_address = 1;
  EXPECT_EQ(ioctl(), EFAULT);
  EXPECT_EQ(ioctl(kGetDerivedKey), EFAULT);
}

TEST_F(GuestDriverTest, AnUnknownCodeIsNotForThisDevice) { EXPECT_EQ(ioctl(0xC0205303), ENOTTY); }

TEST_F(GuestDriverTest, TooLittleRoomIsToldInTheRequest) {
  ExtendedReportRequest request;
  call_.request_address = address_of(&request);
  EXPECT_EQ(ioctl(kGetExtendedReport), EIO);
  EXPECT_EQ(call_.exit_info, host_error::kInvalidLength << 32);
  EXPECT_GT(request.certificates_bytes, 0U);
  EXPECT_EQ(request.certificates_bytes % kPageBytes, 0U);
  EXPECT_EQ(response_.report_bytes, 0U) << "that report is dropped";
}

TEST_F(GuestDriverTest, RoomIsWholePagesAndNotOverSixteenKibibytes) {
  std::vector<std::uint8_t> room(2 * kMaxTableBytes);
  ExtendedReportRequest request;
  call_.request_address = address_of(&request);
  request.certificates_address = address_of(room.data());
  for (const std::uint32_t size : {1U, 4095U, 4097U, 0x4001U, 0x5000U}) {
    request.certificates_bytes = size;
    EXPECT_EQ(ioctl(kGetExtendedReport), EINVAL) << size;
  }
  request.certificates_bytes = 0x4000;
  EXPECT_EQ(ioctl(kGetExtendedReport), 0);
}

TEST_F(GuestDriverTest, RoomAtNoAddressIsNoRoom) {
  ExtendedReportRequest request;
  call_.request_address = address_of(&request);
  request.certificates_bytes = 0x5001;
  EXPECT_EQ(ioctl(kGetExtendedReport), EIO);
}

TEST_F(GuestDriverTest, AHostMayHaveNoCertificatesOrTooManyOrEverMore) {
  misbehave({.no_certificates = true});
  EXPECT_TRUE(attest().value().certificates.empty());
  misbehave({.too_many_certificates = true});
  EXPECT_TRUE(attest().value().certificates.empty());
  misbehave({.growing_certificates = true});
  EXPECT_TRUE(attest().value().certificates.empty());
}

TEST_F(GuestDriverTest, CertificatesThatGrewBetweenProbeAndRequestAreFetchedAllTheSame) {
  misbehave({.grown_certificates = true});
  EXPECT_EQ(attest().value().certificates.size(), 3U);
}

TEST_F(GuestDriverTest, AGarbledTableIsRefused) {
  misbehave({.garbled_certificates = true});
  EXPECT_EQ(attest().error().code, Errc::kBadFormat);
}

TEST_F(GuestDriverTest, AFirmwareThatAnswersWithAStatusOrAnotherSizeIsNotBelieved) {
  misbehave({.status = 7});
  EXPECT_EQ(outcome(attest()), "platform failure: the firmware answers with an error status");
  for (const std::uint32_t size : {0U, 1183U, 1185U}) {
    misbehave({.report_bytes = size});
    EXPECT_EQ(outcome(attest()), "platform failure: the firmware's report is not 1184 bytes");
  }
}

TEST_F(GuestDriverTest, AHostThatThrottlesSlowsDownButCostsNothing) {
  misbehave({.throttle = seconds(5)});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ioctl(), 0);
  EXPECT_EQ(paused_, seconds(12)) << "asked again every 2 s";
  paused_ += seconds(60);
  EXPECT_EQ(ioctl(), 0);
  EXPECT_EQ(paused_, seconds(72)) << "after a rest at once";
}

TEST_F(GuestDriverTest, ABusyHostIsAskedAgainEveryTwoSeconds) {
  misbehave({.busy = seconds(7)});
  EXPECT_EQ(outcome(attest()), "ok");
  EXPECT_EQ(paused_, seconds(8));
}

TEST_F(GuestDriverTest, AHostThatIsBusyForOverAMinuteCostsTheKey) {
  misbehave({.busy = seconds(100)});
  EXPECT_EQ(ioctl(), ETIMEDOUT);
  EXPECT_EQ(call_.exit_info, host_error::kBusy << 32);
  EXPECT_LE(paused_, seconds(62));
  EXPECT_EQ(ioctl(), ENOTTY);
}

TEST_F(GuestDriverTest, AFailureInBetweenCostsTheKey) {
  misbehave({.firmware_error = 0x15});
  EXPECT_EQ(ioctl(), EIO);
  EXPECT_EQ(call_.exit_info, 0x15U);
  EXPECT_EQ(ioctl(), ENOTTY);
  misbehave({.tampered = true});
  EXPECT_EQ(ioctl(), EBADMSG);
  EXPECT_EQ(ioctl(), ENOTTY);
}

TEST_F(GuestDriverTest, AnExhaustedCounterIsFinalAndHasItsOwnSign) {
  misbehave({.exhausted = true});
  EXPECT_EQ(ioctl(), EIO);
  EXPECT_EQ(call_.exit_info, 0xFFU);
  EXPECT_EQ(ioctl(), EIO);
}

TEST_F(GuestDriverTest, FaultsBeginWhenTheyAreAskedTo) {
  misbehave({.after = 2, .wiped = true});
  EXPECT_EQ(ioctl(), 0);
  EXPECT_EQ(ioctl(), 0);
  EXPECT_EQ(ioctl(), ENOTTY);
}

TEST_F(GuestDriverTest, OurClientSaysForEachFailureWhatItIs) {
  misbehave({.wiped = true});
  EXPECT_EQ(outcome(attest()),
            "platform failure: the guest's key (VMPCK) is gone after an earlier failure; reboot "
            "the guest");
  misbehave({});
  EXPECT_EQ(outcome(attest(7)),
            "platform failure: the firmware refuses the request: its VMPL is not between the "
            "guest's and 3, or its versions are above the guest's");
}

TEST_F(GuestDriverTest, KeySelectionIsTheFirmwares) {
  request_.key_selection = key_selection::kVcek;
  EXPECT_EQ(ioctl(), 0);
  EXPECT_EQ(response_.status, firmware_status::kSuccess);
  request_.key_selection = key_selection::kVlek;
  EXPECT_EQ(ioctl(), 0);
  EXPECT_EQ(response_.status, firmware_status::kInvalidKey);
  request_.key_selection = 3;
  EXPECT_EQ(ioctl(), 0);
  EXPECT_EQ(response_.status, firmware_status::kInvalidParameter);
}

class DerivedKeyTest : public GuestDriverTest {
 protected:
  DerivedKeyResponse derive(const DerivedKeyRequest& request) {
    DerivedKeyResponse response;
    call_.request_address = address_of(&request);
    call_.response_address = address_of(&response);
    EXPECT_EQ(ioctl(kGetDerivedKey), 0);
    return response;
  }
};

TEST_F(DerivedKeyTest, IsTheSameForTheSameRequestAlone) {
  const auto key = derive({}).key;
  EXPECT_NE(key, DerivedKeyResponse().key);
  EXPECT_EQ(derive({}).key, key);
  for (std::uint64_t selected = 1; selected <= derived_key_field::kTcbVersion; selected <<= 1) {
    EXPECT_NE(derive({.field_selection = selected}).key, key) << selected;
  }
  EXPECT_NE(derive({.vmpl = 1}).key, key);
}

TEST_F(DerivedKeyTest, DependsOnAVersionOnlyWhereItIsSelected) {
  const TcbBytes one{1};
  EXPECT_EQ(derive({.tcb_version = one}).key, derive({}).key);
  const auto selected = derived_key_field::kTcbVersion;
  EXPECT_NE(derive({.field_selection = selected, .tcb_version = one}).key,
            derive({.field_selection = selected}).key);
}

TEST_F(DerivedKeyTest, ImpossibleRequestsAreRefused) {
  const auto status = [&](const DerivedKeyRequest& request) { return derive(request).status; };
  EXPECT_EQ(status({.root_key_selection = 1}), firmware_status::kInvalidKey);
  EXPECT_EQ(status({.root_key_selection = 2 << 1}), firmware_status::kInvalidKey);
  EXPECT_EQ(status({.reserved = 1}), firmware_status::kInvalidParameter);
  EXPECT_EQ(status({.field_selection = 1U << 6}), firmware_status::kInvalidParameter);
  EXPECT_EQ(status({.vmpl = 4}), firmware_status::kInvalidParameter);
  EXPECT_EQ(status({.guest_svn = 1}), firmware_status::kInvalidParameter);
  EXPECT_EQ(status({.tcb_version = {0xFF}}), firmware_status::kInvalidParameter);
}

}  // namespace
}  // namespace vhsm::snp
