// SPDX-License-Identifier: Apache-2.0
//
// Azure's confidential VMs: the paravisor above the guest asks for the report, and keeps it in the
// vTPM with claims of its own. REPORT_DATA is SHA-256 of the claims, which hold what the guest
// wrote to another index of the vTPM (user-data). Source: Microsoft, "Confidential VM guest
// attestation", HCL report; tpm2_nvread(1).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "snp/platform.h"

namespace vhsm::snp {

/// An NV index holds at most so much on Azure, twice over.
inline constexpr std::size_t kMaxHclBytes = 0x4000;

/// What the vTPM holds: "HCLA" header, report, header of the claims, claims (JSON).
/// @errors kBadFormat for another kind of blob, or sizes that do not add up.
[[nodiscard]] Result<Evidence> parse_hcl_report(std::span<const std::uint8_t> blob);

/// A blob that was read from the vTPM some time: gives evidence for the data alone that it binds.
/// @errors kIo, kBadFormat.
[[nodiscard]] Result<std::unique_ptr<Platform>> open_vtpm_file(const std::string& path);

/// Where to find what.
struct VtpmPaths {
  std::string device = "/dev/tpmrm0";
  std::string chassis_tag = "/sys/class/dmi/id/chassis_asset_tag";  ///< Azure's is always the same
  std::string tools = "/usr/bin";  ///< tpm2_nvread, tpm2_nvwrite and tpm2_nvdefine
};

/// This VM's vTPM, by tpm2-tools.
/// @errors kNoPlatform when this is no Azure VM, or it has no vTPM.
[[nodiscard]] Result<std::unique_ptr<Platform>> open_vtpm(const VtpmPaths& paths = {});

}  // namespace vhsm::snp
