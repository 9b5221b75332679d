// SPDX-License-Identifier: Apache-2.0
//
// Nitride: the messenger that proves this VM to a KBS and brings keys back.
//
// It asks the KBSs in order of preference; the attestation is made at each KBS itself or, in the
// passport model, once at an attestation service whose token all of them accept.
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
#include <type_traits>
#include <vector>

#include "base/endpoint.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/settings.h"
#include "keystore/key_source.h"
#include "nitride/attester.h"
#include "nitride/exchange.h"
#include "nitride/family.h"
#include "nitride/per_process.h"
#include "nitride/release_key.h"
#include "nitride/tls.h"
#include "snp/platform.h"

namespace vhsm::nitride {

/// What `vhsm doctor` says of one endpoint, be it a KBS or the attestation service.
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
  /// Reads kbs_ca, kbs_cert, kbs_key and release_key and resolves the endpoints' names (at most 1
  /// s; that it fails is no error yet).
  /// @param platform  null: every fetch that needs a report is kNoPlatform; but `platform = sample`
  ///                  needs none.
  /// @errors kBadConfig (no endpoint, a malformed one, plain http to another host without
  ///         kbs_insecure, files that do not parse), kIo, kMemoryLimit, kCrypto.
  static Result<std::shared_ptr<Client>> create(const Settings& settings,
                                                std::shared_ptr<snp::Platform> platform,
                                                std::shared_ptr<Metrics> metrics,
                                                std::shared_ptr<const Records> records);

  /// As KeySource; ends after fetch_timeout too. The subject names key and endpoint.
  /// Endpoints are tried in order of preference, each within its share of the time left. One
  /// attestation serves many keys until it ends. An endpoint that was unreachable is not tried
  /// again for a short time, in which its reason is the answer. With require_signed_keys a resource
  /// without the release key's signature over it and its name is kForged.
  /// @errors also kForked; kInUse when another thread or process was attesting until the deadline,
  ///         which makes no endpoint look dead; kWrongState inside a ProtectedScope.
  Result<SecretBytes> fetch(const keystore::KeyName& name, TimePoint deadline) override;
  Result<SecretBytes> renew(const keystore::KeyName& name, TimePoint since,
                            TimePoint deadline) override;
  Result<TimePoint> prove(TimePoint since, TimePoint deadline) override;

  /// Asks each endpoint for a challenge, within connect_timeout each. Attests nothing.
  [[nodiscard]] std::vector<Probe> probe();

 private:
  struct State;
  struct Attempt;
  struct Start;

  Client(Start start, ForkWord word, Family family);

  Result<State*> state();
  Result<std::unique_ptr<State>> make_state(State* inherited);
  void resolve_all();
  [[nodiscard]] bool has_attestation_service() const noexcept {
    return kbs_count_ < endpoints_.size();
  }
  [[nodiscard]] Pass pass() const noexcept {
    return has_attestation_service() ? Pass::kToken : Pass::kCookie;
  }
  Exchange exchange(State& state, std::size_t endpoint, const Limits& limits);
  Result<Addresses> addresses(State& state, std::size_t endpoint, TimePoint by);

  template <class Ask>
  std::invoke_result_t<Ask&, std::size_t, const Limits&> ask_in_turn(Attempt& attempt,
                                                                     std::size_t first,
                                                                     std::size_t end, Ask ask);
  Status may_ask(Attempt& attempt) const;
  Result<SecretBytes> fetch_as(Attempt& attempt);
  Result<SecretBytes> fetch_anywhere(State& state, Attempt& attempt);
  Result<SecretBytes> fetch_from(State& state, std::size_t endpoint, Attempt& attempt,
                                 const Limits& limits);
  std::optional<Error> refusal(State& state, std::size_t endpoint);
  using SessionPtr = std::shared_ptr<const Session>;
  Result<SessionPtr> admission(State& state, std::size_t endpoint, Exchange& exchange,
                               Attempt& attempt, const Limits& limits);
  Result<SessionPtr> admission_at(State& state, std::size_t endpoint, Attempt& attempt,
                                  const Limits& limits);
  Result<SessionPtr> session(State& state, std::size_t endpoint, Exchange& exchange,
                             TimePoint since, TimePoint deadline);
  Result<SessionPtr> share(std::size_t endpoint, Exchange& exchange, std::uint64_t after,
                           TimePoint since, TimePoint deadline);
  Result<Session> attest(std::size_t endpoint, Exchange& exchange);
  static void drop(State& state, std::size_t endpoint, std::uint64_t number);
  void settle(State& state, std::size_t endpoint, const std::optional<Error>& failure);
  void record(const Attempt& attempt, const std::optional<Error>& failure) const;

  std::vector<Endpoint> endpoints_;  ///< the KBSs, then the attestation service if there is one
  std::size_t kbs_count_ = 0;
  std::vector<Addresses> first_addresses_;  ///< of each endpoint, as create() found them
  std::chrono::milliseconds connect_timeout_;
  std::chrono::milliseconds fetch_timeout_;
  jose::TeeKeyKind tee_key_kind_;
  TlsMaterial material_;
  ReleaseKey release_key_;
  std::unique_ptr<Attester> attester_;  ///< null: there is no platform
  std::shared_ptr<Metrics> metrics_;
  std::shared_ptr<const Records> records_;
  Family family_;
  PerProcess<State> state_;
};

}  // namespace vhsm::nitride
