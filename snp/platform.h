// SPDX-License-Identifier: Apache-2.0
//
// What yields SNP reports: the guest device of a real VM, or an emulator for development.
// Source: linux Documentation/virt/coco/sev-guest.rst; AMD 56860, section 7.3 (MSG_REPORT_REQ).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vhsm::snp {

inline constexpr std::size_t kReportBytes = 1184;
inline constexpr std::size_t kReportDataBytes = 64;

using ReportData = std::array<std::uint8_t, kReportDataBytes>;
using RawReport = std::array<std::uint8_t, kReportBytes>;

/// Which certificate of AMD's hierarchy; kOther carries the table's GUID.
enum class CertificateKind : std::uint8_t { kArk, kAsk, kAsvk, kVcek, kVlek, kCrl, kOther };

/// A certificate as the host gave it: untrusted until verified.
struct Certificate {
  CertificateKind kind;
  std::string guid;                ///< text form, only for kOther
  std::vector<std::uint8_t> data;  ///< DER or PEM
};

/// A report and what the host gave beside it (often nothing).
struct Evidence {
  RawReport report{};
  std::vector<Certificate> certificates;
};

/// How far a report can be trusted, for doctor, status and log.
struct PlatformInfo {
  std::string kind;          ///< "sev-guest", "emulator"
  bool development = false;  ///< true: no hardware behind it
  unsigned vmpl = 0;         ///< the level that reports are asked for
};

class Platform {
 public:
  Platform() = default;
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;
  virtual ~Platform() = default;

  [[nodiscard]] virtual PlatformInfo info() const = 0;

  /// Asks for a report with `data` as REPORT_DATA, and for the host's certificates.
  /// May block for a minute on a busy host: never call it inside a ProtectedScope. Thread-safe.
  /// @errors kPlatform (subject: device or folder).
  virtual Result<Evidence> attest(const ReportData& data) = 0;
};

/// Opens what `name` says: auto (sev-guest where the device is), sev-guest, emulator:DIR, none.
/// The device or the emulator's key is opened here, once, so that attest() works after setuid and
/// chroot.
/// @param vmpl  level to ask reports for; unset: the level that the guest runs at.
/// @errors kNoPlatform, kBadConfig for another name, kIo.
[[nodiscard]] Result<std::unique_ptr<Platform>> open_platform(std::string_view name,
                                                              std::optional<unsigned> vmpl);

}  // namespace vhsm::snp
