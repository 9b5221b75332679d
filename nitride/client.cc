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
  return code == Errc::kUnreachable || code == Errc::kForged || code == Errc::kVersion ||
         code == Errc::kNotAttested;
}

/// Whether the endpoint itself is in order.
bool was_reached(const Result<SecretBytes>& answer) {
  if (answer.ok()) return true;
  const Errc code = answer.error().code;
  return code == Errc::kDenied || code == Errc::kMissing || code == Errc::kNotAttested;
}

Result<std::vector<Endpoint>> read_endpoints(const Settings& settings) {
  std::vector<Endpoint> endpoints;
  for (const std::string& url : settings.kbs) {
    const auto endpoint = VHSM_TRY(parse_endpoint(url));
    if (endpoint.scheme != "https" && !endpoint.is_loopback && !settings.kbs_insecure) {
      return fail(Errc::kBadConfig, "plain http reaches other hosts only with kbs_insecure = yes",
                  url);
    }
    endpoints.push_back(endpoint);
  }
  if (endpoints.empty()) return fail(Errc::kBadConfig, "no KBS is configured: set kbs");
  return endpoints;
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

/// One call of fetch().
struct Client::Attempt {
  const keystore::KeyName& name;
  TimePoint deadline;
  std::string endpoint = {};  ///< URL of the last that was tried
  bool counted = false;       ///< in the metrics
  bool asked = false;  ///< an endpoint: what a breaker refused leaves no line in the audit log
};

Client::Client(const Settings& settings, TlsMaterial material,
               std::shared_ptr<snp::Platform> platform, std::shared_ptr<Metrics> metrics, Log log,
               AuditLog audit, ForkWord word, Family family)
    : connect_timeout_(settings.connect_timeout),
      fetch_timeout_(settings.fetch_timeout),
      material_(std::move(material)),
      platform_(std::move(platform)),
      metrics_(std::move(metrics)),
      log_(std::move(log)),
      audit_(std::move(audit)),
      family_(std::move(family)),
      state_(std::move(word)) {}

Result<std::shared_ptr<Client>> Client::create(const Settings& settings,
                                               std::shared_ptr<snp::Platform> platform,
                                               std::shared_ptr<Metrics> metrics, Log log,
                                               AuditLog audit) {
  auto endpoints = VHSM_TRY(read_endpoints(settings));
  auto material = VHSM_TRY(TlsMaterial::load(settings));
  auto word = VHSM_TRY(ForkWord::create());
  auto family = VHSM_TRY(Family::create(endpoints.size()));
  std::shared_ptr<Client> client(new Client(settings, std::move(material), std::move(platform),
                                            std::move(metrics), std::move(log), std::move(audit),
                                            std::move(word), std::move(family)));
  client->endpoints_ = std::move(endpoints);
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
/// fork; but makes its own TLS context, whose locks and random generators are new. (A TEE key's own
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
       log_});
}

Result<SecretBytes> Client::fetch(const keystore::KeyName& name, TimePoint deadline) {
  if (memory::in_scope()) return fail(Errc::kWrongState, "a fetch inside a ProtectedScope");
  if (!memory::usable()) return fail(Errc::kForked, "no fetch in a cloned process", name.uri());
  Attempt attempt{name, std::min(deadline, Clock::now() + fetch_timeout_)};
  auto answer = fetch_anywhere(attempt);
  if (!answer.ok()) {
    const std::string where = attempt.endpoint.empty() ? "" : " from " + attempt.endpoint;
    answer = answer.error().about(name.uri() + where);
  }
  if (attempt.asked) record(attempt, answer);
  return answer;
}

Result<SecretBytes> Client::fetch_anywhere(Attempt& attempt) {
  State* const current = VHSM_TRY(this->state());
  State& state = *current;
  std::optional<Error> told;  // the most telling so far: that of the first that answered at all
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    const auto now = Clock::now();
    if (now >= attempt.deadline) break;
    const auto share = (attempt.deadline - now) / static_cast<Clock::rep>(endpoints_.size() - i);
    attempt.endpoint = endpoints_[i].url();
    auto answer = fetch_from(state, i, attempt, {now + share, connect_timeout_});
    if (answer.ok() || !may_fail_over(answer.error().code)) return answer;
    if (!told.has_value() ||
        (told->code == Errc::kUnreachable && answer.error().code != Errc::kUnreachable)) {
      told = answer.error().about(attempt.name.uri() + " from " + attempt.endpoint);
    }
  }
  if (told.has_value()) return *told;
  return fail(Errc::kUnreachable, "no time is left to ask a KBS");
}

Result<SecretBytes> Client::fetch_from(State& state, std::size_t endpoint, Attempt& attempt,
                                       const Limits& limits) {
  {
    const std::lock_guard lock(state.mutex);
    State::Line& line = state.lines[endpoint];
    const bool another_got_through = family_.last(endpoint) != line.heard;
    const auto refusal = line.breaker.refusal(Clock::now());
    if (refusal.has_value() && !another_got_through) return *refusal;
  }
  attempt.asked = true;
  Exchange exchange = this->exchange(state, endpoint, limits);
  const auto ask = [&](const std::shared_ptr<const Session>& session) {
    if (!std::exchange(attempt.counted, true)) metrics_->fetches.fetch_add(1);
    return exchange.resource(*session, attempt.name);
  };
  for (bool last = false;; last = true) {
    auto with = session(state, endpoint, exchange, limits.deadline);
    auto release = with.ok() ? ask(with.value()) : Release{with.error()};
    if (release.session_ended && !last) {
      drop(state, endpoint, with.value()->number);
      continue;
    }
    const bool forged = !release.secret.ok() && release.secret.error().code == Errc::kForged;
    if (forged && with.ok()) drop(state, endpoint, with.value()->number);
    settle(state, endpoint, release.secret);
    return std::move(release.secret);
  }
}

/// No process of the family uses sessions up to `number` again.
void Client::drop(State& state, std::size_t endpoint, std::uint64_t number) {
  std::shared_ptr<const Session> dropped;  // ends after the lock
  const std::lock_guard lock(state.mutex);
  State::Line& line = state.lines[endpoint];
  line.ended = std::max(line.ended, number);
  if (line.session != nullptr && line.session->number <= line.ended) dropped.swap(line.session);
}

/// The endpoint's session, or a new one. One thread attests; the others wait and share its outcome.
/// They look every few milliseconds, since a condition variable does not survive a fork.
Result<std::shared_ptr<const Session>> Client::session(State& state, std::size_t endpoint,
                                                       Exchange& exchange, TimePoint deadline) {
  std::optional<std::uint64_t> waiting_for;
  std::uint64_t ended = 0;
  for (;;) {
    {
      const std::lock_guard lock(state.mutex);
      State::Line& line = state.lines[endpoint];
      if (line.session != nullptr && Clock::now() < line.session->expires) return line.session;
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
      return fail(Errc::kUnreachable, "another attestation of this process takes too long");
    }
    ::poll(nullptr, 0, kWaitStepMilliseconds);
  }
  const State::Turn turn(state, endpoint);
  auto made = share(endpoint, exchange, ended, deadline);
  auto kept = made.ok() ? made.value() : nullptr;
  const std::lock_guard lock(state.mutex);
  state.lines[endpoint].session.swap(kept);  // the old one ends after the lock
  state.lines[endpoint].outcome = made.ok() ? std::nullopt : std::optional(made.error());
  return made;
}

/// The family's session with a number above `after`, or a new one for the family.
Result<std::shared_ptr<const Session>> Client::share(std::size_t endpoint, Exchange& exchange,
                                                     std::uint64_t after, TimePoint deadline) {
  const auto turn = family_.wait(endpoint, deadline);
  if (turn == nullptr) {
    return fail(Errc::kUnreachable, "another process's attestation takes too long");
  }
  if (auto shared = turn->newest(after)) {
    return std::make_shared<const Session>(*std::move(shared));
  }
  Session made = VHSM_TRY(attest(exchange));
  made.number = after;
  turn->publish(made);
  return std::make_shared<const Session>(std::move(made));
}

Result<Session> Client::attest(Exchange& exchange) {
  if (platform_ == nullptr) return fail(Errc::kNoPlatform, "no SNP platform for an attestation");
  return exchange.attest(*platform_, *metrics_);
}

void Client::settle(State& state, std::size_t endpoint, const Result<SecretBytes>& answer) {
  std::uint8_t jitter = 0;
  static_cast<void>(RAND_bytes_ex(state.tls->library(), &jitter, 1, 0));  // 0 does as well
  const std::lock_guard lock(state.mutex);
  State::Line& line = state.lines[endpoint];
  if (was_reached(answer)) return line.breaker.succeeded();
  if (answer.error().code != Errc::kUnreachable) return;
  line.breaker.failed(answer.error(), Clock::now(), jitter);
  line.heard = family_.last(endpoint);
}

void Client::record(const Attempt& attempt, const Result<SecretBytes>& answer) const {
  audit_.fetch(attempt.name.path(), attempt.endpoint,
               answer.ok() ? "released" : reason(answer.error().code));
  if (!answer.ok()) return log_.write(LogLevel::kError, describe(answer.error()));
  log_.write(LogLevel::kInfo, attempt.name.uri() + " released by " + attempt.endpoint);
}

std::vector<Probe> Client::probe() {
  std::vector<Probe> probes;
  const auto state = this->state();
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    const auto start = Clock::now();
    Probe probe{endpoints_[i].url(), {}, {}, {}};
    auto tls =
        state.ok()
            ? exchange(*state.value(), i, {start + connect_timeout_, connect_timeout_}).probe()
            : Result<std::string>(state.error());
    if (tls.ok()) probe.tls = tls.value();
    if (!tls.ok()) probe.failure = tls.error().about(probe.endpoint);
    probe.took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
    probes.push_back(std::move(probe));
  }
  return probes;
}

}  // namespace vhsm::nitride
