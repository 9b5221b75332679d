// SPDX-License-Identifier: Apache-2.0
//
// The firmware of an emulated machine: what it answers to one guest's requests. Knows nothing of
// devices or processes.
// Source: AMD 56860, sections 7.2 (MSG_KEY_REQ) and 7.3 (MSG_REPORT_REQ).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/handle.h"
#include "base/result.h"
#include "snp/emulator_state.h"
#include "snp/guest_device.h"

namespace vhsm::snp {

class EmulatedFirmware {
 public:
  /// Reads what init_emulator() made, all of it now.
  /// @errors kIo; kBadFormat for files that were not made by init_emulator().
  [[nodiscard]] static Result<EmulatedFirmware> open(const std::string& folder);

  /// The level that the guest runs at.
  [[nodiscard]] unsigned vmpl() const noexcept { return state_.vmpl; }
  /// What the host gives beside reports.
  [[nodiscard]] std::span<const Certificate> certificates() const noexcept { return certificates_; }

  /// Refusals are in the response's status, as they are on hardware. Thread-safe.
  [[nodiscard]] ReportResponse report(const ReportRequest& request) const;

  /// What SVSM gets, which runs at VMPL 0 above the guest. Thread-safe.
  [[nodiscard]] ReportResponse report_of_svsm(const ReportData& data) const;

  /// The same key for the same request, machine and guest, as far as the request selects what the
  /// key depends on.
  /// The caller wipes the response. Thread-safe.
  [[nodiscard]] DerivedKeyResponse derive_key(const DerivedKeyRequest& request) const;

 private:
  EmulatedFirmware(EmulatorState state, ossl::PKey key, std::vector<Certificate> certificates);

  [[nodiscard]] ReportResponse sign(RawReport report) const;

  EmulatorState state_;
  ossl::PKey key_;  ///< the VCEK or VLEK
  std::vector<Certificate> certificates_;
};

}  // namespace vhsm::snp
