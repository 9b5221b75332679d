// SPDX-License-Identifier: Apache-2.0
//
// One endpoint during one fetch: requests over a connection that is kept between them, and the two
// things that are asked of a KBS, an attestation and a resource.
// Source: Trustee's RCAR handshake, protocol version 0.4.0.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/endpoint.h"
#include "base/log.h"
#include "base/result.h"
#include "jose/tee_key.h"
#include "keystore/key_name.h"
#include "memory/secret_bytes.h"
#include "nitride/attester.h"
#include "nitride/connection.h"
#include "nitride/http.h"
#include "nitride/protocol.h"

namespace vhsm::nitride {

/// What the audit log tells of an attestation.
struct Facts {
  std::string nonce;  ///< nonce_id()
  std::string measurement;
  std::string tcb;
};

/// An attestation that was accepted. Immutable; any number of threads and, after a fork, processes
/// may use it: a KBS does not mind two connections with one cookie, and the arena with the TEE key
/// is copied for the child.
struct Session {
  CookieJar cookies;  ///< of the endpoint that attested
  std::string token;  ///< what other endpoints take instead
  jose::TeeKey tee_key;
  Facts facts;
  TimePoint began;  ///< it is no proof of a later time
  TimePoint expires;
  std::uint64_t number = 0;  ///< rises from session to session of an endpoint, in all processes
};

/// How a session is shown.
enum class Pass : std::uint8_t {
  kCookie,  ///< to the endpoint that attested, which remembers it
  kToken,   ///< to any other
};

struct Limits {
  TimePoint deadline;                         ///< for everything
  std::chrono::milliseconds connect_timeout;  ///< for name, connection and handshake together
};

/// Finds an endpoint's addresses by a point in time.
using Resolve = std::function<Result<Addresses>(TimePoint)>;

/// What is asked of where. Members are borrowed.
struct Surroundings {
  const Endpoint& endpoint;
  const TlsContext& tls;
  Resolve resolve;
  Limits limits;
  const Log& log;
};

/// The answer to a request for a resource.
struct Release {
  Result<SecretBytes> secret;
  bool session_ended = false;  ///< the KBS no longer accepts the session
};

/// One thread at a time.
class Exchange {
 public:
  explicit Exchange(Surroundings surroundings) : at_(std::move(surroundings)) {}

  /// Nonce, report, token.
  /// @param attester  may block.
  /// @param pass  how the session will be shown, which decides how long it lasts.
  /// @param facts  what is known of it by its end, which may be a refusal.
  /// @errors kNotAttested, kVersion, kUnreachable, kForged; kPlatform and kCrypto, kMemoryLimit,
  ///         kForked from this VM.
  Result<Session> attest(Attester& attester, jose::TeeKeyKind kind, Pass pass, Facts& facts);

  /// Asks for `name` and opens the answer, into protected memory.
  /// @errors kNotAttested, kDenied, kMissing, kVersion, kUnreachable, kForged, kMemoryLimit,
  ///         kForked.
  Release resource(const Session& session, Pass pass, const keystore::KeyName& name);

  /// Whether a KBS of our protocol answers to VMs of kind `tee`.
  /// @return the TLS version, "none" for plain http.
  /// @errors as attest().
  Result<std::string> probe(std::string_view tee);

 private:
  Result<HttpAnswer> send(HttpRequest request);
  Result<HttpAnswer> ask(const std::string& wire);
  Result<HttpAnswer> read_answer(bool& untouched);
  Status connect();
  Result<Challenge> challenge(std::string_view tee, CookieJar& cookies);
  Error refused(Stage stage, const HttpAnswer& answer) const;

  Surroundings at_;
  std::optional<Connection> connection_;
};

}  // namespace vhsm::nitride
