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
#include <vector>

#include "base/result.h"
#include "jose/json.h"
#include "jose/jwk.h"
#include "nitride/http.h"

namespace vhsm::nitride {

inline constexpr std::string_view kProtocolVersion = "0.4.0";
inline constexpr std::string_view kAuthPath = "/kbs/v0/auth";
inline constexpr std::string_view kAttestPath = "/kbs/v0/attest";
inline constexpr std::string_view kResourcePath = "/kbs/v0/resource/";

/// How long a KBS keeps a session.
inline constexpr std::chrono::seconds kSessionLife{300};

/// What runtime data are hashed with for REPORT_DATA.
enum class RuntimeHash : std::uint8_t { kSha256, kSha384, kSha512 };

/// The first digits of a nonce's SHA-256, hex: names an attestation without telling its nonce.
[[nodiscard]] Result<std::string> nonce_id(OSSL_LIB_CTX* library, std::string_view nonce);

struct Challenge {
  std::string nonce;  ///< opaque: never decoded
  RuntimeHash hash = RuntimeHash::kSha384;
};

/// Body of POST /auth.
/// @param tee  as Attester::tee().
[[nodiscard]] std::string auth_body(std::string_view tee);

/// @errors kForged for what is no challenge; kVersion for a hash that was not offered.
[[nodiscard]] Result<Challenge> parse_challenge(std::string_view body);

/// The hash of the canonical {"additional-evidence":"","nonce":…,"tee-pubkey":…}.
/// @errors kCrypto.
[[nodiscard]] Result<std::vector<std::uint8_t>> runtime_digest(OSSL_LIB_CTX* library,
                                                               const Challenge& challenge,
                                                               const jose::TeeJwk& tee_key);

/// Body of POST /attest.
[[nodiscard]] std::string attest_body(const Challenge& challenge, const jose::TeeJwk& tee_key,
                                      const jose::Json& evidence);

/// What an attestation has earned.
struct Approval {
  std::string token;
  /// The token's life by its own clock (exp - iat); kSessionLife where it does not say. This VM's
  /// clock, which is the host's, has no say.
  std::chrono::seconds life;
};

/// Reads an attestation's answer.
/// @errors kForged for what carries no token.
[[nodiscard]] Result<Approval> parse_approval(std::string_view body);

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

/// How much of a server's words goes to the log.
inline constexpr std::size_t kMaxDetailBytes = 300;

/// `text` with everything but printable ASCII replaced, and cut.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most = kMaxDetailBytes);

}  // namespace vhsm::nitride
