// SPDX-License-Identifier: Apache-2.0
//
// What answers the ioctls of /dev/sev-guest, and what its answers mean.
// Source: linux drivers/virt/coco/sev-guest, Documentation/virt/coco/sev-guest.rst.
#pragma once

#include "base/result.h"
#include "snp/guest_abi.h"

namespace vhsm::snp {

/// The report in a response, checked in this order: status, size.
/// @param device  the subject of errors.
/// @errors kPlatform.
[[nodiscard]] Result<RawReport> report_of(const ReportResponse& response, const char* device);

/// The same for a derived key, which stays in `response`.
[[nodiscard]] Status check_status(const DerivedKeyResponse& response, const char* device);

/// What answers those ioctls: the kernel, or a fake in tests.
class GuestDevice {
 public:
  GuestDevice() = default;
  GuestDevice(const GuestDevice&) = delete;
  GuestDevice& operator=(const GuestDevice&) = delete;
  virtual ~GuestDevice() = default;

  /// Thread-safe.
  /// @return 0, or the errno.
  virtual int ioctl(unsigned long code, GuestRequest& request) = 0;
};

}  // namespace vhsm::snp
