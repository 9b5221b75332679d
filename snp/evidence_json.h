// SPDX-License-Identifier: Apache-2.0
//
// Evidence in the JSON form that Trustee's SNP attester sends and its verifier reads: the report as
// members, each byte array as an array of numbers.
// Source: confidential-containers/trustee deps/verifier/src/snp; virtee/sev AttestationReport.
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "snp/platform.h"

namespace vhsm::snp {

/// {"attestation_report": {...}, "cert_chain": [...] or null when there are no certificates}.
/// Reserved bytes, and the mitigation vectors below version 5, have no member in this form: a
/// report in which they are not zero does not verify at the other side.
[[nodiscard]] nlohmann::json to_json(const Evidence& evidence);

/// The reverse of to_json(): each number lands in its wire bytes exactly.
/// @errors kBadFormat for a missing member, another type, a number or length out of range, an empty
///         cert_chain (null says that there is none), and members that the report's version lacks.
///         Unknown members are ignored, as Trustee does.
[[nodiscard]] Result<Evidence> evidence_from_json(const nlohmann::json& evidence);

}  // namespace vhsm::snp
