// SPDX-License-Identifier: Apache-2.0
#include "nitride/client.h"

#include <poll.h>

#include <openssl/rand.h>

#include <mutex>
#include <utility>

#include "base/breaker.h"
#include "memory/protected_memory.h"

namespace vhsm::nitride {
namespace {

constexpr std::chrono::seconds kFirstLookups{1};
constexpr int kWaitStepMilliseconds = 5;

/// Whether another endpoint may do better.
bool may_fail_over(Errc code) {
  return keystore::is_outage(code) || code == Errc::kNotAttested || code == Errc::kInUse;
}

/// A verdict: the endpoint itself is in order.
bool is_verdict(Errc code) {
  return code == Errc::kDenied || code == Errc::kMissing || code == Errc::kNotAttested;
}

std::chrono::milliseconds time_since(TimePoint start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
}

/// We wait for ourselves, which says nothing of the endpoint: no kUnreachable.
Error still_attesting(Literal what) {
  return fail(Errc::kInUse, what).cured_by("try again: what comes of it serves all that wait");
}

template <class T>
std::optional<Error> failure_of(const Result<T>& result) {
  return result.ok() ? std::nullopt : std::optional(result.error());
}

Result<Endpoint> read_endpoint(const std::string& url, const Settings& settings) {
  auto endpoint = VHSM_TRY(parse_endpoint(url));
  if (endpoint.scheme == "https" || endpoint.is_loopback || settings.kbs_insecure) return endpoint;
  return fail(Errc::kBadConfig, "plain http reaches other hosts only with kbs_insecure = yes", url);
}

/// The KBSs, then the attestation service.
Result<std::vector<Endpoint>> read_endpoints(const Settings& settings) {
  if (settings.kbs.empty()) return fail(Errc::kBadConfig, "no KBS is configured: set kbs");
  std::vector<std::string> urls = settings.kbs;
  if (!settings.attestation_service.empty()) urls.push_back(settings.attestation_service);
  std::vector<Endpoint> endpoints;
  for (const std::string& url : urls) {
    const auto endpoint = VHSM_TRY(read_endpoint(url, settings));
    endpoints.push_back(endpoint);
  }
  return endpoints;
}

jose::TeeKeyKind kind_of(std::string_view tee_key) {
  if (tee_key == "P-521") return jose::TeeKeyKind::kP521;
  return tee_key == "RSA" ? jose::TeeKeyKind::kRsa : jose::TeeKeyKind::kP256;
}

std::unique_ptr<Attester> attester_for(const Settings& settings,
                                       std::shared_ptr<snp::Platform> platform,
                                       std::shared_ptr<Metrics> metrics) {
  if (settings.platform == "sample") return make_sample_attester();
  if (platform == nullptr) return nullptr;
  return make_snp_attester(std::move(platform), std::move(metrics));
}

}  // namespace

/// What changes while the client lives, one for each process.
struct Client::State {
  /// What is known of one endpoint.
  struct Line {
    Addresses addresses;  ///< the last that were found: names may stop resolving in a chroot
    Breaker breaker;
    std::uint64_t heard = 0;  ///< the family's last session when the breaker opened
    std::shared_ptr<const Session> session;
    std::uint64_t ended = 0;  ///< sessions up to this number are of no use
    bool attesting = false;   ///< a thread is at it; the others wait for its outcome
    std::uint64_t attestations = 0;
    std::optional<Error> outcome;  ///< why the last attestation failed

    [[nodiscard]] bool has_session(TimePoint since) const {
      return session != nullptr && Clock::now() < session->expires && session->began >= since;
    }
  };

  std::mutex mutex;  ///< held for a few assignments, never over I/O or work on a key
  std::vector<Line> lines;
  std::unique_ptr<TlsContext> tls;  ///< immutable

  /// The right to attest at one endpoint, given back in every case.
  class Turn {
   public:
    Turn(State& state, std::size_t endpoint) : state_(state), endpoint_(endpoint) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      const std::lock_guard lock(state_.mutex);
      Line& line = state_.lines[endpoint_];
      line.attesting = false;
      ++line.attestations;
    }

   private:
    State& state_;
    std::size_t endpoint_;
  };
};

/// One call of fetch(), renew() or prove().
struct Client::Attempt {
  const char* event;              ///< of the audit log, if it succeeds
  const keystore::KeyName* name;  ///< null: nothing is asked for but an attestation
  TimePoint since;                ///< an attestation that began earlier does not do
  TimePoint deadline;
  TimePoint start = Clock::now();
  std::string endpoint = {};  ///< URL of the last that was tried
  Facts facts = {};           ///< of the session that was shown
  bool counted = false;       ///< in the metrics
  bool asked = false;  ///< an endpoint: what a breaker refused leaves no line in the audit log

  [[nodiscard]] std::string key() const { return name == nullptr ? "" : name->path(); }
  /// Names key and endpoint, unless a deeper layer has named another thing.
  [[nodiscard]] Error about(const Error& error) const {
    const std::string what = name == nullptr ? "attestation" : name->uri();
    const bool is_endpoint = error.subject.text().starts_with("http");
    const std::string from(is_endpoint ? error.subject.text() : std::string_view(endpoint));
    Error full = error;
    if (is_endpoint) full.subject = {};
    return full.about(from.empty() ? what : what + " from " + from);
  }
};

/// What create() has read and made.
struct Client::Start {
  const Settings& settings;
  std::vector<Endpoint> endpoints;
  TlsMaterial material;
  ReleaseKey release_key;
  std::unique_ptr<Attester> attester;
  std::shared_ptr<Metrics> metrics;
  std::shared_ptr<const Records> records;
};

Client::Client(Start start, ForkWord word, Family family)
    : endpoints_(std::move(start.endpoints)),
      kbs_count_(start.settings.kbs.size()),
      connect_timeout_(start.settings.connect_timeout),
      fetch_timeout_(start.settings.fetch_timeout),
      tee_key_kind_(kind_of(start.settings.tee_key)),
      material_(std::move(start.material)),
      release_key_(std::move(start.release_key)),
      attester_(std::move(start.attester)),
      metrics_(std::move(start.metrics)),
      records_(std::move(start.records)),
      family_(std::move(family)),
      state_(std::move(word)) {}

Result<std::shared_ptr<Client>> Client::create(const Settings& settings,
                                               std::shared_ptr<snp::Platform> platform,
                                               std::shared_ptr<Metrics> metrics,
                                               std::shared_ptr<const Records> records) {
  auto endpoints = VHSM_TRY(read_endpoints(settings));
  auto material = VHSM_TRY(TlsMaterial::load(settings));
  auto release_key = VHSM_TRY(ReleaseKey::load(settings));
  auto word = VHSM_TRY(ForkWord::create());
  auto family = VHSM_TRY(Family::create(endpoints.size()));
  Start start{settings,
              std::move(endpoints),
              std::move(material),
              std::move(release_key),
              attester_for(settings, std::move(platform), metrics),
              std::move(metrics),
              std::move(records)};
  std::shared_ptr<Client> client(new Client(std::move(start), std::move(word), std::move(family)));
  client->resolve_all();
  const auto state = client->state();
  if (!state.ok()) return state.error().about(settings.source);
  return client;
}

/// All at once, so that one dead name server costs one wait.
void Client::resolve_all() {
  const auto by = Clock::now() + std::min<Clock::duration>(kFirstLookups, connect_timeout_);
  std::vector<Lookup> lookups;
  for (const Endpoint& endpoint : endpoints_) lookups.push_back(Lookup::start(endpoint));
  for (Lookup& lookup : lookups) {
    const auto found = lookup.wait(by);
    first_addresses_.push_back(found.ok() ? found.value() : Addresses());
  }
}

Result<Client::State*> Client::state() {
  return state_.get([this](State* inherited) { return make_state(inherited); });
}

/// A child takes over what its parent knew, if no thread of the parent was changing it during the
/// fork; but makes its own TLS context, whose locks are new. (A TEE key's own
/// locks are free: a child has usable protected memory only if no thread was at work on a key.)
Result<std::unique_ptr<Client::State>> Client::make_state(State* inherited) {
  auto state = std::make_unique<State>();
  state->tls = VHSM_TRY(TlsContext::create(material_));
  state->lines.resize(endpoints_.size());
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    state->lines[i].addresses = first_addresses_[i];
  }
  if (inherited == nullptr) return state;
  const std::unique_lock lock(inherited->mutex, std::try_to_lock);
  if (lock.owns_lock()) {
    state->lines = inherited->lines;
    for (State::Line& line : state->lines) line.attesting = false;
  }
  return state;
}

Result<Addresses> Client::addresses(State& state, std::size_t endpoint, TimePoint by) {
  const auto known = [&] {
    const std::lock_guard lock(state.mutex);
    return state.lines[endpoint].addresses;
  }();
  const auto now = Clock::now();
  const auto patience = known.empty() ? by : now + (by - now) / 2;
  const auto found = Lookup::start(endpoints_[endpoint]).wait(patience);
  if (!found.ok() && known.empty()) return found;
  if (!found.ok()) return known;
  const std::lock_guard lock(state.mutex);
  state.lines[endpoint].addresses = found.value();
  return found;
}

Exchange Client::exchange(State& state, std::size_t endpoint, const Limits& limits) {
  return Exchange(
      {endpoints_[endpoint], *state.tls,
       [this, &state, endpoint](TimePoint by) { return addresses(state, endpoint, by); }, limits,
       records_->log});
}

Result<SecretBytes> Client::fetch(const keystore::KeyName& name, TimePoint deadline) {
  Attempt attempt{"release", &name, TimePoint::min(), deadline};
  return fetch_as(attempt);
}

Result<SecretBytes> Client::renew(const keystore::KeyName& name, TimePoint since,
                                  TimePoint deadline) {
  Attempt attempt{"renewal", &name, since, deadline};
  return fetch_as(attempt);
}

Status Client::may_ask(Attempt& attempt) const {
  attempt.deadline = std::min(attempt.deadline, Clock::now() + fetch_timeout_);
  if (memory::in_scope()) return fail(Errc::kWrongState, "a fetch inside a ProtectedScope");
  if (memory::usable()) return {};
  return attempt.about(fail(Errc::kForked, "no fetch in a cloned process"));
}

Result<SecretBytes> Client::fetch_as(Attempt& attempt) {
  VHSM_TRY(may_ask(attempt));
  State* const state = VHSM_TRY(this->state());
  auto answer = fetch_anywhere(*state, attempt);
  if (!answer.ok()) answer = attempt.about(answer.error());
  if (attempt.asked) record(attempt, failure_of(answer));
  return answer;
}

/// Asks the endpoints from `first` on in their order, each within its share of the time left.
/// @return the first answer that no other endpoint could better; else the most telling failure:
///         that of the first that answered at all.
template <class Ask>
std::invoke_result_t<Ask&, std::size_t, const Limits&> Client::ask_in_turn(Attempt& attempt,
                                                                           std::size_t first,
                                                                           std::size_t end,
                                                                           Ask ask) {
  std::optional<Error> told;
  for (std::size_t i = first; i < end; ++i) {
    const auto now = Clock::now();
    if (now >= attempt.deadline) break;
    const auto share = (attempt.deadline - now) / static_cast<Clock::rep>(end - i);
    attempt.endpoint = endpoints_[i].url();
    auto answer = ask(i, Limits{now + share, connect_timeout_});
    if (answer.ok() || !may_fail_over(answer.error().code)) return answer;
    if (!told.has_value() ||
        (told->code == Errc::kUnreachable && answer.error().code != Errc::kUnreachable)) {
      told = attempt.about(answer.error());
    }
  }
  if (told.has_value()) return *told;
  return fail(Errc::kUnreachable, "no time is left to ask a KBS");
}

Result<SecretBytes> Client::fetch_anywhere(State& state, Attempt& attempt) {
  return ask_in_turn(attempt, 0, kbs_count_, [&](std::size_t endpoint, const Limits& limits) {
    return fetch_from(state, endpoint, attempt, limits);
  });
}

/// Why `endpoint` is not asked now.
std::optional<Error> Client::refusal(State& state, std::size_t endpoint) {
  const std::lock_guard lock(state.mutex);
  const State::Line& line = state.lines[endpoint];
  const bool another_got_through = family_.last(endpoint) != line.heard;
  return another_got_through ? std::nullopt : line.breaker.refusal(Clock::now());
}

Result<SecretBytes> Client::fetch_from(State& state, std::size_t endpoint, Attempt& attempt,
                                       const Limits& limits) {
  if (const auto refusal = this->refusal(state, endpoint)) return *refusal;
  Exchange exchange = this->exchange(state, endpoint, limits);
  const std::size_t attests = has_attestation_service() ? kbs_count_ : endpoint;
  const auto ask = [&](const SessionPtr& session) {
    if (!std::exchange(attempt.counted, true)) metrics_->fetches.fetch_add(1);
    attempt.asked = true;
    attempt.facts = session->facts;
    return exchange.resource(*session, pass(), *attempt.name);
  };
  for (bool last = false;; last = true) {
    const auto with = admission(state, endpoint, exchange, attempt, limits);
    if (!with.ok() && attests != endpoint) return with.error();  // that is settled there
    auto release = with.ok() ? ask(with.value()) : Release{with.error()};
    if (release.session_ended && !last) {
      drop(state, attests, with.value()->number);
      continue;
    }
    const bool forged = !release.secret.ok() && release.secret.error().code == Errc::kForged;
    if (forged && with.ok()) drop(state, attests, with.value()->number);
    settle(state, endpoint, failure_of(release.secret));
    if (!release.secret.ok()) return std::move(release.secret);
    return release_key_.opened(*attempt.name, std::move(release.secret).value());
  }
}

/// The session that `endpoint` is to be shown: its own, or the attestation service's.
Result<Client::SessionPtr> Client::admission(State& state, std::size_t endpoint, Exchange& exchange,
                                             Attempt& attempt, const Limits& limits) {
  if (has_attestation_service()) return admission_at(state, kbs_count_, attempt, limits);
  attempt.asked = true;
  return session(state, endpoint, exchange, attempt.since, limits.deadline);
}

/// The session of `endpoint` on an exchange of its own, and what its failure says of it.
Result<Client::SessionPtr> Client::admission_at(State& state, std::size_t endpoint,
                                                Attempt& attempt, const Limits& limits) {
  if (const auto refusal = this->refusal(state, endpoint)) {
    return refusal->about(endpoints_[endpoint].url());
  }
  attempt.asked = true;
  Exchange exchange = this->exchange(state, endpoint, limits);
  auto made = session(state, endpoint, exchange, attempt.since, limits.deadline);
  settle(state, endpoint, failure_of(made));
  if (made.ok()) attempt.facts = made.value()->facts;
  return made;
}

Result<TimePoint> Client::prove(TimePoint since, TimePoint deadline) {
  Attempt attempt{"renewal", nullptr, since, deadline};
  VHSM_TRY(may_ask(attempt));
  State* const state = VHSM_TRY(this->state());
  const bool apart = has_attestation_service();
  const auto admitted = ask_in_turn(attempt, apart ? kbs_count_ : 0, endpoints_.size(),
                                    [&](std::size_t endpoint, const Limits& limits) {
                                      return admission_at(*state, endpoint, attempt, limits);
                                    });
  if (admitted.ok()) return admitted.value()->began;
  return attempt.about(admitted.error());
}

/// No process of the family uses sessions up to `number` again.
void Client::drop(State& state, std::size_t endpoint, std::uint64_t number) {
  std::shared_ptr<const Session> dropped;  // ends after the lock
  const std::lock_guard lock(state.mutex);
  State::Line& line = state.lines[endpoint];
  line.ended = std::max(line.ended, number);
  if (line.session != nullptr && line.session->number <= line.ended) dropped.swap(line.session);
}

/// The endpoint's session that began at `since` or later, or a new one. One thread attests; the
/// others wait and share its outcome. They look every few milliseconds, since a condition variable
/// does not survive a fork.
Result<Client::SessionPtr> Client::session(State& state, std::size_t endpoint, Exchange& exchange,
                                           TimePoint since, TimePoint deadline) {
  std::optional<std::uint64_t> waiting_for;
  std::uint64_t ended = 0;
  for (;;) {
    {
      const std::lock_guard lock(state.mutex);
      State::Line& line = state.lines[endpoint];
      if (line.has_session(since)) return line.session;
      if (waiting_for.has_value() && *waiting_for != line.attestations && line.outcome) {
        return *line.outcome;
      }
      ended = line.ended;
      if (!line.attesting) {
        line.attesting = true;
        break;
      }
      waiting_for = line.attestations;
    }
    if (Clock::now() >= deadline) {
      return still_attesting("another attestation of this process takes too long");
    }
    ::poll(nullptr, 0, kWaitStepMilliseconds);
  }
  const State::Turn turn(state, endpoint);
  auto made = share(endpoint, exchange, ended, since, deadline);
  auto kept = made.ok() ? made.value() : nullptr;
  const std::lock_guard lock(state.mutex);
  state.lines[endpoint].session.swap(kept);  // the old one ends after the lock
  state.lines[endpoint].outcome = failure_of(made);
  return made;
}

/// The family's session with a number above `after`, or a new one for the family.
Result<Client::SessionPtr> Client::share(std::size_t endpoint, Exchange& exchange,
                                         std::uint64_t after, TimePoint since, TimePoint deadline) {
  const auto turn = family_.wait(endpoint, deadline);
  if (turn == nullptr) {
    return still_attesting("another process's attestation takes too long");
  }
  if (auto shared = turn->newest(after, since)) {
    return std::make_shared<const Session>(*std::move(shared));
  }
  Session made = VHSM_TRY(attest(endpoint, exchange));
  made.number = after;
  turn->publish(made);
  return std::make_shared<const Session>(std::move(made));
}

Result<Session> Client::attest(std::size_t endpoint, Exchange& exchange) {
  if (attester_ == nullptr) return fail(Errc::kNoPlatform, "no SNP platform for an attestation");
  const auto start = Clock::now();
  Facts facts;
  auto made = exchange.attest(*attester_, tee_key_kind_, pass(), facts);
  records_->audit.write({.event = "attestation",
                         .outcome = made.ok() ? "granted" : reason(made.error().code),
                         .endpoint = endpoints_[endpoint].url(),
                         .nonce = facts.nonce,
                         .measurement = facts.measurement,
                         .tcb = facts.tcb,
                         .took = time_since(start)});
  return made;
}

void Client::settle(State& state, std::size_t endpoint, const std::optional<Error>& failure) {
  std::uint8_t jitter = 0;
  static_cast<void>(RAND_bytes_ex(state.tls->library(), &jitter, 1, 0));  // 0 does as well
  const std::lock_guard lock(state.mutex);
  State::Line& line = state.lines[endpoint];
  if (!failure || is_verdict(failure->code)) return line.breaker.succeeded();
  if (failure->code != Errc::kUnreachable) return;
  line.breaker.failed(*failure, Clock::now(), jitter);
  line.heard = family_.last(endpoint);
}

void Client::record(const Attempt& attempt, const std::optional<Error>& failure) const {
  const bool denied = failure && is_verdict(failure->code);
  records_->audit.write({.event = denied ? "denial" : attempt.event,
                         .outcome = failure ? reason(failure->code) : "granted",
                         .key = attempt.key(),
                         .endpoint = attempt.endpoint,
                         .nonce = attempt.facts.nonce,
                         .measurement = attempt.facts.measurement,
                         .tcb = attempt.facts.tcb,
                         .took = time_since(attempt.start)});
  if (failure) return records_->log.write(LogLevel::kError, describe(*failure));
  records_->log.write(LogLevel::kInfo, attempt.name->uri() + " released by " + attempt.endpoint);
}

std::vector<Probe> Client::probe() {
  std::vector<Probe> probes;
  const auto state = this->state();
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    const auto start = Clock::now();
    Probe probe{endpoints_[i].url(), {}, {}, {}};
    auto tls = state.ok()
                   ? exchange(*state.value(), i, {start + connect_timeout_, connect_timeout_})
                         .probe(attester_ == nullptr ? "snp" : attester_->tee())
                   : Result<std::string>(state.error());
    if (tls.ok()) probe.tls = tls.value();
    if (!tls.ok()) probe.failure = tls.error().about(probe.endpoint);
    probe.took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
    probes.push_back(std::move(probe));
  }
  return probes;
}

}  // namespace vhsm::nitride
