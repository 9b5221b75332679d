// SPDX-License-Identifier: Apache-2.0
//
// The ioctl interface of /dev/sev-guest, declared here rather than taken from the installed header,
// whose names changed with the kernel. The layouts prove themselves.
// Source: linux include/uapi/linux/sev-guest.h; AMD 56860, tables MSG_REPORT_REQ, MSG_REPORT_RSP,
// MSG_KEY_REQ and MSG_KEY_RSP.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vhsm::snp {

inline constexpr std::size_t kReportBytes = 1184;
inline constexpr std::size_t kReportDataBytes = 64;

using ReportData = std::array<std::uint8_t, kReportDataBytes>;
using RawReport = std::array<std::uint8_t, kReportBytes>;

/// The argument of each ioctl.
struct GuestRequest {
  std::uint8_t message_version = 1;
  std::uint64_t request_address = 0;
  std::uint64_t response_address = 0;
  /// Low half: firmware error; high half: the host's. The kernel writes it only when not zero.
  std::uint64_t exit_info = 0;
};
static_assert(sizeof(GuestRequest) == 32);
static_assert(offsetof(GuestRequest, message_version) == 0);
static_assert(offsetof(GuestRequest, request_address) == 8);
static_assert(offsetof(GuestRequest, response_address) == 16);
static_assert(offsetof(GuestRequest, exit_info) == 24);

struct ReportRequest {
  ReportData user_data{};
  std::uint32_t vmpl = 0;
  std::uint32_t key_selection = 0;  ///< of key_selection
  std::array<std::uint8_t, 24> reserved{};
};
static_assert(sizeof(ReportRequest) == 96);
static_assert(offsetof(ReportRequest, user_data) == 0);
static_assert(offsetof(ReportRequest, vmpl) == 64);
static_assert(offsetof(ReportRequest, key_selection) == 68);

struct ExtendedReportRequest {
  ReportRequest report;
  std::uint64_t certificates_address = 0;
  std::uint32_t certificates_bytes = 0;  ///< in: room, whole pages; out: need
};
static_assert(sizeof(ExtendedReportRequest) == 112);
static_assert(offsetof(ExtendedReportRequest, report) == 0);
static_assert(offsetof(ExtendedReportRequest, certificates_address) == 96);
static_assert(offsetof(ExtendedReportRequest, certificates_bytes) == 104);

/// The kernel gives 4000 bytes; a report takes 1184 of them from 0x20 on.
struct ReportResponse {
  std::uint32_t status = 0;
  std::uint32_t report_bytes = 0;
  std::array<std::uint8_t, 24> reserved{};
  RawReport report{};
  std::array<std::uint8_t, 4000 - 32 - kReportBytes> padding{};
};
static_assert(sizeof(ReportResponse) == 4000);
static_assert(offsetof(ReportResponse, status) == 0);
static_assert(offsetof(ReportResponse, report_bytes) == 4);
static_assert(offsetof(ReportResponse, report) == 0x20);

/// Message version 1; the kernel passes no more than these 32 bytes on.
struct DerivedKeyRequest {
  std::uint32_t root_key_selection = 0;  ///< bit 0: 0 VCEK, 1 VMRK; bits 2:1: a key_selection
  std::uint32_t reserved = 0;
  std::uint64_t field_selection = 0;  ///< of derived_key_field
  std::uint32_t vmpl = 0;
  std::uint32_t guest_svn = 0;
  std::array<std::uint8_t, 8> tcb_version{};
};
static_assert(sizeof(DerivedKeyRequest) == 32);
static_assert(offsetof(DerivedKeyRequest, field_selection) == 8);
static_assert(offsetof(DerivedKeyRequest, vmpl) == 16);
static_assert(offsetof(DerivedKeyRequest, guest_svn) == 20);
static_assert(offsetof(DerivedKeyRequest, tcb_version) == 24);

inline constexpr std::size_t kDerivedKeyBytes = 32;

/// A secret: wipe it whole.
struct DerivedKeyResponse {
  std::uint32_t status = 0;
  std::array<std::uint8_t, 28> reserved{};
  std::array<std::uint8_t, kDerivedKeyBytes> key{};
};
static_assert(sizeof(DerivedKeyResponse) == 64);
static_assert(offsetof(DerivedKeyResponse, key) == 0x20);

/// What a derived key depends on. Source: AMD 56860, table GUEST_FIELD_SELECT.
namespace derived_key_field {
inline constexpr std::uint64_t kPolicy = 1U << 0;
inline constexpr std::uint64_t kImageId = 1U << 1;
inline constexpr std::uint64_t kFamilyId = 1U << 2;
inline constexpr std::uint64_t kMeasurement = 1U << 3;
inline constexpr std::uint64_t kGuestSvn = 1U << 4;
inline constexpr std::uint64_t kTcbVersion = 1U << 5;
inline constexpr std::uint64_t kAll = (1U << 6) - 1;
}  // namespace derived_key_field

/// KEY_SEL: which key signs, or roots.
namespace key_selection {
inline constexpr std::uint32_t kDefault = 0;  ///< VLEK if the host installed one, else VCEK
inline constexpr std::uint32_t kVcek = 1;
inline constexpr std::uint32_t kVlek = 2;
}  // namespace key_selection

/// The status in a response.
namespace firmware_status {
inline constexpr std::uint32_t kSuccess = 0;
inline constexpr std::uint32_t kInvalidParameter = 0x16;
inline constexpr std::uint32_t kInvalidKey = 0x27;
}  // namespace firmware_status

/// The host's half of GuestRequest::exit_info.
namespace host_error {
inline constexpr std::uint64_t kInvalidLength = 1;  ///< SNP_GUEST_VMM_ERR_INVALID_LEN
inline constexpr std::uint64_t kBusy = 2;           ///< SNP_GUEST_VMM_ERR_BUSY
}  // namespace host_error

// _IOWR('S', n, struct of 32 bytes)
inline constexpr unsigned long kGetReport = 0xC0205300;
inline constexpr unsigned long kGetDerivedKey = 0xC0205301;
inline constexpr unsigned long kGetExtendedReport = 0xC0205302;

}  // namespace vhsm::snp
