// SPDX-License-Identifier: Apache-2.0
//
// What proves this VM in an attestation: evidence over a digest, in the form of its TEE.
// Source: Trustee kbs-types (Tee), deps/verifier/src/snp and deps/verifier/src/sample.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/metrics.h"
#include "base/result.h"
#include "jose/json.h"
#include "snp/platform.h"

namespace vhsm::nitride {

/// Evidence, and what the audit log tells of it.
struct Proof {
  jose::Json evidence;      ///< the protocol's "primary_evidence"
  std::string measurement;  ///< hex; empty where there is none
  std::string tcb;          ///< REPORTED_TCB, hex; empty where there is none
};

/// Thread-safe.
class Attester {
 public:
  Attester() = default;
  Attester(const Attester&) = delete;
  Attester& operator=(const Attester&) = delete;
  virtual ~Attester() = default;

  /// The protocol's name: "snp", "sample".
  [[nodiscard]] virtual std::string_view tee() const noexcept = 0;

  /// @param digest  of the runtime data, at most snp::kReportDataBytes.
  /// Returns by `deadline`, as Platform::attest().
  /// @errors those of Platform::attest().
  virtual Result<Proof> prove(std::span<const std::uint8_t> digest, TimePoint deadline) = 0;
};

/// Reports of `platform`, counted in `metrics`.
std::unique_ptr<Attester> make_snp_attester(std::shared_ptr<snp::Platform> platform,
                                            std::shared_ptr<Metrics> metrics);

/// Proves nothing: for development against a KBS that is told to accept it.
std::unique_ptr<Attester> make_sample_attester();

}  // namespace vhsm::nitride
