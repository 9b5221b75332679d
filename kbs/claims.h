// SPDX-License-Identifier: Apache-2.0
//
// What a token says of a VM: an EAT attestation result (EAR) in Trustee's form.
// Source: draft-ietf-rats-ear; Trustee attestation-service/src/ear_token/broker.rs.
#pragma once

#include <string>

#include "base/result.h"
#include "jose/json.h"
#include "jose/jwk.h"
#include "snp/verify.h"

namespace vhsm::kbs {

/// Of a report that policy accepted; without iat and exp.
/// @param runtime  jose::runtime_claims().
[[nodiscard]] jose::Json ear_claims(const snp::VerifiedReport& report, const jose::Json& runtime);

/// What the KBS needs from a verified token.
struct AttestedVm {
  jose::TeeJwk tee_key;
  std::string measurement;  ///< hex, empty when the token does not say
  std::string chip_id;      ///< hex, empty when the token does not say
};

/// @errors kBadFormat when there is no usable TEE key.
[[nodiscard]] Result<AttestedVm> attested_vm(const jose::Json& claims);

}  // namespace vhsm::kbs
