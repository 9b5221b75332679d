// SPDX-License-Identifier: Apache-2.0
//
// The platform of a real SEV-SNP guest: reports and derived keys by ioctl on /dev/sev-guest.
// Source: linux Documentation/virt/coco/sev-guest.rst; drivers/virt/coco/sev-guest for the errors.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "snp/guest_device.h"
#include "snp/pace.h"
#include "snp/platform.h"

namespace vhsm::snp {

inline constexpr const char* kSevGuestPath = "/dev/sev-guest";
inline constexpr const char* kVmplPath = "/sys/devices/system/cpu/sev/vmpl";

/// One attestation at once, however many requests it takes, and one request each 2 s after it.
inline constexpr Pace::Limits kGuestPace{std::chrono::seconds(2), 4};

class SevGuest final : public Platform {
 public:
  SevGuest(std::unique_ptr<GuestDevice> device, unsigned vmpl, Pace::Limits pace = kGuestPace);

  [[nodiscard]] PlatformInfo info() const override;

  /// Asks for the host's certificates too; a host without any, or with more than the kernel passes
  /// on, gives the report alone.
  Result<Evidence> attest(const ReportData& data, TimePoint deadline) override;

  Result<SecretBytes> derive_key(const DerivedKeyRequest& request, TimePoint deadline) override;

 private:
  class Channel;
  std::shared_ptr<Channel> channel_;  ///< also of requests that their callers have given up
  unsigned vmpl_;
};

/// @errors kNoPlatform when there is no device; kIo when it cannot be opened.
[[nodiscard]] Result<std::unique_ptr<GuestDevice>> open_guest_device(const std::string& path);

/// The VMPL that the file at `path` names; 0 when it cannot be read, as on kernels before 6.12.
[[nodiscard]] unsigned running_vmpl(const std::string& path);

}  // namespace vhsm::snp
