// SPDX-License-Identifier: Apache-2.0
//
// What binds a report to one attestation: the nonce and the TEE key, hashed into REPORT_DATA.
// Source: Trustee attestation-service/src/lib.rs (runtime data); RFC 8785.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "jose/json.h"
#include "jose/jwk.h"

namespace vhsm::jose {

inline constexpr std::size_t kRuntimeDigestBytes = 48;
using RuntimeReportData = std::array<std::uint8_t, 64>;

/// {"additional-evidence","nonce","tee-pubkey"}: what is hashed, and what the token repeats.
[[nodiscard]] Json runtime_claims(std::string_view nonce, const TeeJwk& tee_key,
                                  std::string_view additional_evidence = "");

/// SHA-384 of the canonical runtime_claims(), then 16 zero bytes.
/// @param nonce  as the challenge gave it: never decoded.
/// @errors kCrypto.
[[nodiscard]] Result<RuntimeReportData> report_data(std::string_view nonce, const TeeJwk& tee_key,
                                                    std::string_view additional_evidence = "");

}  // namespace vhsm::jose
