// SPDX-License-Identifier: Apache-2.0
//
// Whether a report is the answer to a request: what REPORT_DATA must be, given what was asked for
// and what came beside the report. Nothing here says that the report is genuine.
// Source: AMD 58019 "Secure VM Service Module", section 7; Microsoft, "Azure guest attestation: HCL
// report".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "snp/platform.h"

namespace vhsm::snp {

/// Whether REPORT_DATA of `evidence` binds `data` in the way that its annex says.
/// @param platform  the subject of errors.
/// @errors kPlatform when it does not; kBadFormat for claims that cannot be read.
[[nodiscard]] Status check_binding(const Evidence& evidence, const ReportData& data,
                                   const char* platform);

/// Whether Azure's claims say that `data` is what was asked for.
/// @errors as check_binding().
[[nodiscard]] Status claims_bind(std::span<const std::uint8_t> claims, const ReportData& data,
                                 const char* platform);

/// REPORT_DATA of a report that SVSM asks for: SHA-512(data || manifest).
/// @errors kCrypto.
[[nodiscard]] Result<ReportData> svsm_report_data(const ReportData& data,
                                                  std::span<const std::uint8_t> manifest);

/// The kernel gives no larger manifest.
inline constexpr std::size_t kMaxManifestBytes = 0x8000;
inline constexpr std::size_t kMaxServices = 32;

/// What a service of SVSM says of itself.
struct ServiceEntry {
  std::string guid;                ///< text form
  std::vector<std::uint8_t> data;  ///< of the service's own format
};

/// Reads the manifest of all services: {guid[16], u32 size, u32 count}, then {guid[16], u32 offset,
/// u32 size} each, GUIDs in mixed-endian order. Everything in it is as good as SVSM, once the
/// report that binds it has been verified.
/// @errors kBadFormat for areas outside the manifest, or another size than it says.
[[nodiscard]] Result<std::vector<ServiceEntry>> parse_manifest(
    std::span<const std::uint8_t> manifest);

}  // namespace vhsm::snp
