// SPDX-License-Identifier: Apache-2.0
#include "snp/guest_device.h"

namespace vhsm::snp {

Result<RawReport> report_of(const ReportResponse& response, const char* device) {
  switch (response.status) {
    case firmware_status::kSuccess: break;
    case firmware_status::kInvalidParameter:
      return fail(Errc::kPlatform,
                  "the firmware refuses the request: its VMPL is not between the guest's and 3",
                  device);
    case firmware_status::kInvalidKey:
      return fail(Errc::kPlatform, "the firmware has no key of the kind asked for", device);
    default: return fail(Errc::kPlatform, "the firmware answers with an error status", device);
  }
  if (response.report_bytes != kReportBytes) {
    return fail(Errc::kPlatform, "the firmware's report is not 1184 bytes", device);
  }
  return response.report;
}

}  // namespace vhsm::snp
