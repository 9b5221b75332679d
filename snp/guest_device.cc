// SPDX-License-Identifier: Apache-2.0
#include "snp/guest_device.h"

namespace vhsm::snp {
namespace {

Status check_status(std::uint32_t status, const char* device) {
  switch (status) {
    case firmware_status::kSuccess: return {};
    case firmware_status::kInvalidParameter:
      return fail(Errc::kPlatform,
                  "the firmware refuses the request: its VMPL is not between the guest's and 3, or "
                  "its versions are above the guest's",
                  device);
    case firmware_status::kInvalidKey:
      return fail(Errc::kPlatform, "the firmware has no key of the kind asked for", device);
    default: return fail(Errc::kPlatform, "the firmware answers with an error status", device);
  }
}

}  // namespace

Result<RawReport> report_of(const ReportResponse& response, const char* device) {
  VHSM_TRY(check_status(response.status, device));
  if (response.report_bytes != kReportBytes) {
    return fail(Errc::kPlatform, "the firmware's report is not 1184 bytes", device);
  }
  return response.report;
}

Status check_status(const DerivedKeyResponse& response, const char* device) {
  return check_status(response.status, device);
}

}  // namespace vhsm::snp
