// SPDX-License-Identifier: Apache-2.0
//
// What yields SNP reports and derived keys: the guest device of a real VM, configfs-tsm, a vTPM
// that holds a report, or an emulator for development. Source: linux
// Documentation/virt/coco/sev-guest.rst; AMD 56860, sections 7.2 (MSG_KEY_REQ) and 7.3
// (MSG_REPORT_REQ).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "memory/secret_bytes.h"
#include "snp/guest_abi.h"

namespace vhsm::snp {

/// Which certificate of AMD's hierarchy; kOther carries the table's GUID.
enum class CertificateKind : std::uint8_t { kArk, kAsk, kAsvk, kVcek, kVlek, kCrl, kOther };

/// A certificate as the host gave it: untrusted until verified.
struct Certificate {
  CertificateKind kind;
  std::string guid;                ///< text form, only for kOther
  std::vector<std::uint8_t> data;  ///< DER or PEM
};

/// Bytes that come beside a report, because its REPORT_DATA is a digest over them (annex.h).
enum class AnnexKind : std::uint8_t {
  kNone,          ///< REPORT_DATA is what was asked for
  kSvsmManifest,  ///< SHA-512 over what was asked for and the manifest of SVSM's services
  kAzureClaims,   ///< SHA-256 over claims (JSON), which have what was asked for in them
};
struct Annex {
  AnnexKind kind = AnnexKind::kNone;
  std::vector<std::uint8_t> data;
};

/// A report and what the host gave beside it (often nothing).
struct Evidence {
  RawReport report{};
  std::vector<Certificate> certificates;
  Annex annex{};
};

/// How far a report can be trusted, for doctor, status and log.
struct PlatformInfo {
  std::string kind;          ///< "sev-guest", "tsm", "svsm", "vtpm", "agent", "emulator"
  bool development = false;  ///< true: no hardware behind it
  unsigned vmpl = 0;         ///< the level that reports are asked for
  std::string reason{};      ///< why this one, where the configuration says auto
};

/// For callers who wait as long as it takes: a minute, on a busy host.
inline constexpr TimePoint kNoDeadline = TimePoint::max();

class Platform {
 public:
  Platform() = default;
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;
  virtual ~Platform() = default;

  [[nodiscard]] virtual PlatformInfo info() const = 0;

  /// Asks for a report that binds `data`, and for the host's certificates.
  /// Returns by `deadline`; a request that the kernel is still busy with then goes on alone and is
  /// dropped. Never call it inside a ProtectedScope. Thread-safe.
  /// @errors kPlatform, kBadFormat for what the host gave (subject: device or folder).
  virtual Result<Evidence> attest(const ReportData& data, TimePoint deadline) = 0;

  /// Asks for kDerivedKeyBytes that only this guest on this chip can get, as far as `request` says
  /// what they depend on. They never leave protected memory (memory::initialise() comes before).
  /// The VMPL is the platform's. As attest() otherwise.
  /// @errors kUnsupported for a platform without derived keys; kPlatform; kMemoryLimit.
  virtual Result<SecretBytes> derive_key(const DerivedKeyRequest& request, TimePoint deadline);
};

/// Opens what `name` says: a row of the table in platform.cc, emulator:DIR, vtpm:FILE, agent:PATH
/// or none; auto takes the first row that is here, and says why in info(). The device or the
/// emulator's key is opened here, once, so that attest() works after setuid and chroot
/// (configfs-tsm: as far as the user may make folders there).
/// @param vmpl  level to ask reports for; unset: the level that the guest runs at.
/// @errors kNoPlatform, kBadConfig for another name, kIo.
[[nodiscard]] Result<std::unique_ptr<Platform>> open_platform(std::string_view name,
                                                              std::optional<unsigned> vmpl);

}  // namespace vhsm::snp
