// SPDX-License-Identifier: Apache-2.0
//
// The messages of the KBS protocol and what its answers mean: no network, no state.
// Source: Confidential Containers, Trustee kbs/src (api_server.rs, error.rs) and kbs-types;
// protocol version 0.4.0.
#pragma once

#include <openssl/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "jose/jwk.h"
#include "nitride/http.h"
#include "snp/platform.h"

namespace vhsm::nitride {

inline constexpr std::string_view kProtocolVersion = "0.4.0";
inline constexpr std::string_view kAuthPath = "/kbs/v0/auth";
inline constexpr std::string_view kAttestPath = "/kbs/v0/attest";
inline constexpr std::string_view kResourcePath = "/kbs/v0/resource/";

/// How long a KBS keeps a session unless its token ends earlier.
inline constexpr std::chrono::seconds kSessionLife{300};

/// What runtime data are hashed with for REPORT_DATA.
enum class RuntimeHash : std::uint8_t { kSha256, kSha384, kSha512 };

struct Challenge {
  std::string nonce;  ///< opaque: never decoded
  RuntimeHash hash = RuntimeHash::kSha384;
};

/// Body of POST /auth.
[[nodiscard]] std::string auth_body();

/// @errors kForged for what is no challenge; kVersion for a hash that was not offered.
[[nodiscard]] Result<Challenge> parse_challenge(std::string_view body);

/// The hash of the canonical {"additional-evidence":"","nonce":…,"tee-pubkey":…}, then zeros.
/// @errors kCrypto.
[[nodiscard]] Result<snp::ReportData> report_data(OSSL_LIB_CTX* library, const Challenge& challenge,
                                                  const jose::EcPublicJwk& tee_key);

/// Body of POST /attest.
[[nodiscard]] std::string attest_body(const Challenge& challenge, const jose::EcPublicJwk& tee_key,
                                      const snp::Evidence& evidence);

/// How long the session behind an attestation's answer may be used: the token's life by its own
/// clock (exp - iat), at most kSessionLife; kSessionLife where the token does not say.
/// @errors kForged for what carries no token.
[[nodiscard]] Result<std::chrono::seconds> session_life(std::string_view body);

/// Which request was answered.
enum class Stage : std::uint8_t { kAuth, kAttest, kResource };

/// What an answer that is not 200 means: `type` decides, then the status, and for a version
/// mismatch the text, as these are what Trustee's releases have in common.
struct Refusal {
  Error error;
  bool session_ended = false;  ///< a new attestation may help
  std::string detail;          ///< the server's words, printable and short: for the log only
};

[[nodiscard]] Refusal classify(Stage stage, const HttpAnswer& answer);

/// `text` with everything but printable ASCII replaced, and cut.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace vhsm::nitride
