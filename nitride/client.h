// SPDX-License-Identifier: Apache-2.0
//
// Nitride: the messenger that proves this VM to a KBS and brings keys back.
//
// It lives inside foreign processes: it starts threads only to resolve names, keeps no connection
// between fetches, and has everything open or read (CA, client key, addresses) before the host
// gives up its privileges.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/settings.h"
#include "keystore/key_source.h"
#include "nitride/exchange.h"
#include "nitride/family.h"
#include "nitride/per_process.h"
#include "nitride/tls.h"
#include "snp/platform.h"

namespace vhsm::nitride {

/// What `vhsm doctor` says of one endpoint.
struct Probe {
  std::string endpoint;               ///< its URL
  std::string tls;                    ///< "TLSv1.3"; "none" for plain http; empty on failure
  std::chrono::milliseconds took{0};  ///< name, connection, handshake and one answer
  std::optional<Error> failure;       ///< empty: a KBS of protocol 0.4.0 answers there
};

/// Thread-safe; goes on working in forked children, which inherit the attestation, and share
/// those that are made later.
class Client final : public keystore::KeySource {
 public:
  /// Reads kbs_ca, kbs_cert and kbs_key and resolves the endpoints' names (at most 1 s; that it
  /// fails is no error yet).
  /// @param platform  null: every fetch that needs a report is kNoPlatform.
  /// @errors kBadConfig (no endpoint, a malformed one, plain http to another host without
  ///         kbs_insecure, files that do not parse), kIo, kMemoryLimit, kCrypto.
  static Result<std::shared_ptr<Client>> create(const Settings& settings,
                                                std::shared_ptr<snp::Platform> platform,
                                                std::shared_ptr<Metrics> metrics, Log log,
                                                AuditLog audit);

  /// As KeySource; ends after fetch_timeout too. The subject names key and endpoint.
  /// Endpoints are tried in order of preference, each within its share of the time left. One
  /// attestation serves many keys until it ends. An endpoint that was unreachable is not tried
  /// again for a short time, in which its reason is the answer.
  /// @errors also kForked; kWrongState inside a ProtectedScope.
  Result<SecretBytes> fetch(const keystore::KeyName& name, TimePoint deadline) override;

  /// Asks each endpoint for a challenge, within connect_timeout each. Attests nothing.
  [[nodiscard]] std::vector<Probe> probe();

 private:
  struct State;
  struct Attempt;

  Client(const Settings& settings, TlsMaterial material, std::shared_ptr<snp::Platform> platform,
         std::shared_ptr<Metrics> metrics, Log log, AuditLog audit, ForkWord word, Family family);

  Result<State*> state();
  Result<std::unique_ptr<State>> make_state(State* inherited);
  void resolve_all();
  Exchange exchange(State& state, std::size_t endpoint, const Limits& limits);
  Result<Addresses> addresses(State& state, std::size_t endpoint, TimePoint by);
  Result<SecretBytes> fetch_anywhere(Attempt& attempt);
  Result<SecretBytes> fetch_from(State& state, std::size_t endpoint, Attempt& attempt,
                                 const Limits& limits);
  Result<std::shared_ptr<const Session>> session(State& state, std::size_t endpoint,
                                                 Exchange& exchange, TimePoint deadline);
  Result<std::shared_ptr<const Session>> share(std::size_t endpoint, Exchange& exchange,
                                               std::uint64_t after, TimePoint deadline);
  Result<Session> attest(Exchange& exchange);
  static void drop(State& state, std::size_t endpoint, std::uint64_t number);
  void settle(State& state, std::size_t endpoint, const Result<SecretBytes>& answer);
  void record(const Attempt& attempt, const Result<SecretBytes>& answer) const;

  std::vector<Endpoint> endpoints_;
  std::vector<Addresses> first_addresses_;  ///< of each endpoint, as create() found them
  std::chrono::milliseconds connect_timeout_;
  std::chrono::milliseconds fetch_timeout_;
  TlsMaterial material_;
  std::shared_ptr<snp::Platform> platform_;
  std::shared_ptr<Metrics> metrics_;
  Log log_;
  AuditLog audit_;
  Family family_;
  PerProcess<State> state_;
};

}  // namespace vhsm::nitride
