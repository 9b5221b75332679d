// SPDX-License-Identifier: Apache-2.0
//
// Whether a report is the answer to a request: what REPORT_DATA must be, given what was asked for
// and what came beside the report. Nothing here says that the report is genuine.
// Source: AMD 58019 "Secure VM Service Module", section 7; Microsoft, "Azure guest attestation: HCL
// report".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

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

}  // namespace vhsm::snp
