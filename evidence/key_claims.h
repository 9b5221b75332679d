// SPDX-License-Identifier: Apache-2.0
//
// What a keystore says of a key, as an EAT claims set in CBOR with one encoding for each statement,
// and the REPORT_DATA that binds it.
// Source: RFC 9711 (EAT), sections 4.1 (nonce) and 4.3.2 (profile); RFC 8949, section 4.2.1
// (deterministic encoding); RFC 8392, section 9.1 (private claims); docs/key-evidence.md.
#pragma once

#include <nlohmann/json.hpp>

#include "base/cbor.h"
#include "base/result.h"
#include "evidence/cmw.h"
#include "keystore/witness.h"
#include "snp/guest_abi.h"

namespace vhsm::evidence {

/// Names this form of evidence, in claims and collections: another form has another name.
inline constexpr std::string_view kKeyProfile = "urn:uuid:841ba7cc-a2e2-4b09-bf37-7e90f3d21271";

[[nodiscard]] Bytes encode(const keystore::KeyClaims& claims);

/// @errors kBadFormat, also for bytes that encode() would not have written.
[[nodiscard]] Result<keystore::KeyClaims> parse_claims(ByteView bytes);

/// SHA-512 over a label and `claims`, as encode() gives them. What else is put into REPORT_DATA
/// never begins as this does: a JSON object of a KBS's protocol, or 64 bytes at most of a nonce.
[[nodiscard]] snp::ReportData report_data_of(ByteView claims);

/// For people and programs that have no CBOR.
[[nodiscard]] nlohmann::ordered_json to_json(const keystore::KeyClaims& claims);

}  // namespace vhsm::evidence
