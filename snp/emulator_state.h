// SPDX-License-Identifier: Apache-2.0
//
// What an emulated machine and guest are, as emulator.json holds it, and the reports that they
// give. No secret.
// Source: AMD 56860, table ATTESTATION_REPORT.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>

#include "base/result.h"
#include "snp/emulator.h"
#include "snp/report.h"

namespace vhsm::snp {

struct EmulatorState {
  Product product = Product::kMilan;
  std::uint32_t report_version = 3;
  std::uint32_t vmpl = 0;  ///< the level that the guest runs at
  std::uint64_t policy = 0;
  std::uint32_t guest_svn = 0;
  std::uint64_t platform_info = 0;
  Measurement measurement;
  HostData host_data;
  ChipId chip_id;
  Octets<struct ReportIdTag, field::kReportId.size> report_id;
  FamilyId family_id;
  ImageId image_id;
  IdKeyDigest id_key_digest;          ///< zero: launched without an ID block
  AuthorKeyDigest author_key_digest;  ///< zero: nobody signed the ID key
  Tcb tcb;                            ///< current, reported and launch TCB at once
  Tcb committed_tcb;
  EmulatedSigner signer = EmulatedSigner::kVcek;
  std::uint64_t mitigations = 0;
};

/// Fills in what `options` leaves open: measurement and chip id are the same at each run, the
/// report id is random.
/// @errors kInvalidArgument for a version, VMPL, policy or chip id that firmware cannot have, or an
///         ID block of another guest; kCrypto.
[[nodiscard]] Result<EmulatorState> make_state(const EmulatorOptions& options);

[[nodiscard]] nlohmann::json to_json(const EmulatorState& state);

/// @errors kBadFormat.
[[nodiscard]] Result<EmulatorState> state_from_json(const nlohmann::json& json);

/// The report that this machine gives, without its signature.
[[nodiscard]] RawReport unsigned_report(const EmulatorState& state, const ReportData& data,
                                        std::uint32_t vmpl);

}  // namespace vhsm::snp
