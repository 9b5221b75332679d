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
#include "base/metrics.h"
#include "base/result.h"
#include "jose/tee_key.h"
#include "keystore/key_name.h"
#include "memory/secret_bytes.h"
#include "nitride/connection.h"
#include "nitride/http.h"
#include "nitride/protocol.h"
#include "snp/platform.h"

namespace vhsm::nitride {

/// An attestation that an endpoint has accepted. Immutable; any number of threads and, after a
/// fork, processes may use it: a KBS does not mind two connections with one cookie, and the arena
/// with the TEE key is copied for the child.
struct Session {
  CookieJar cookies;
  jose::TeeKey tee_key;
  TimePoint expires;
  std::uint64_t number = 0;  ///< rises from session to session of an endpoint, in all processes
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
  /// @param platform  may block; counted in `metrics`.
  /// @errors kNotAttested, kVersion, kUnreachable, kForged; kPlatform and kCrypto, kMemoryLimit,
  ///         kForked from this VM.
  Result<Session> attest(snp::Platform& platform, Metrics& metrics);

  /// Asks for `name` and opens the answer, into protected memory.
  /// @errors kNotAttested, kDenied, kMissing, kVersion, kUnreachable, kForged, kMemoryLimit,
  ///         kForked.
  Release resource(const Session& session, const keystore::KeyName& name);

  /// Whether a KBS of our protocol answers.
  /// @return the TLS version, "none" for plain http.
  /// @errors as attest().
  Result<std::string> probe();

 private:
  Result<HttpAnswer> send(HttpRequest request);
  Result<HttpAnswer> ask(const std::string& wire);
  Result<HttpAnswer> read_answer(bool& untouched);
  Status connect();
  Result<Challenge> challenge(CookieJar& cookies);
  Error refused(Stage stage, const HttpAnswer& answer) const;

  Surroundings at_;
  std::optional<Connection> connection_;
};

}  // namespace vhsm::nitride
