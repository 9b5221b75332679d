// SPDX-License-Identifier: Apache-2.0
#include "nitride/exchange.h"

#include <array>
#include <utility>

#include "jose/jwe.h"

namespace vhsm::nitride {
namespace {

constexpr unsigned kHttpOk = 200;
// A session is left a little before the KBS ends it, so that none ends between two requests.
constexpr std::chrono::seconds kSessionMargin{5};
constexpr std::size_t kReadBytes = std::size_t{16} << 10;

std::string host_header(const Endpoint& endpoint) {
  const std::string url = endpoint.url();
  return url.substr(url.find("://") + 3);
}

HttpRequest post(std::string_view target, const CookieJar& cookies, std::string body) {
  return {.is_post = true,
          .target = std::string(target),
          .host = {},
          .cookies = cookies.header(),
          .json_body = std::move(body),
          .bearer = {}};
}

void take_cookies(const HttpAnswer& answer, CookieJar& cookies) {
  for (const std::string& value : answer.set_cookies) cookies.take(value);
}

/// What jose says of a resource, as the outcome of a fetch.
Error opened_badly(const Error& error) {
  if (error.code != Errc::kBadFormat && error.code != Errc::kUnsupported) return error;
  return fail(Errc::kForged, "the KBS's resource is not encrypted as protocol 0.4.0 says");
}

}  // namespace

Status Exchange::connect() {
  const auto by =
      std::min<TimePoint>(at_.limits.deadline, Clock::now() + at_.limits.connect_timeout);
  const Addresses addresses = VHSM_TRY(at_.resolve(by));
  auto opened = VHSM_TRY(Connection::open(at_.endpoint, addresses, at_.tls, by));
  connection_.emplace(std::move(opened));
  return {};
}

/// @param untouched  set when the connection failed before one byte of the answer.
Result<HttpAnswer> Exchange::read_answer(bool& untouched) {
  HttpReader reader;
  std::array<char, kReadBytes> buffer;
  for (bool done = false; !done;) {
    const auto got = connection_->read(buffer, at_.limits.deadline);
    untouched = reader.untouched() && (!got.ok() || got.value() == 0);
    if (!got.ok()) return got.error();
    if (got.value() == 0) {
      done = VHSM_TRY(reader.finish());
      connection_.reset();
    } else {
      done = VHSM_TRY(reader.feed({buffer.data(), got.value()}));
    }
  }
  HttpAnswer answer = reader.take();
  if (!answer.keeps_alive) connection_.reset();
  return answer;
}

/// A kept connection may have been closed by the server meanwhile: then, and only if it said
/// nothing at all, the request goes out once more over a new one.
Result<HttpAnswer> Exchange::ask(const std::string& wire) {
  for (bool kept = connection_.has_value();; kept = false) {
    if (!kept) VHSM_TRY(connect());
    bool untouched = true;
    // A server that hangs up in the middle of a request may have said why.
    const Status written = connection_->write(wire, at_.limits.deadline);
    auto answer = read_answer(untouched);
    if (!written.ok() && answer.ok()) connection_.reset();
    if (answer.ok()) return answer;
    connection_.reset();
    if (!kept || !untouched || Clock::now() >= at_.limits.deadline) return answer;
  }
}

Result<HttpAnswer> Exchange::send(HttpRequest request) {
  request.host = host_header(at_.endpoint);
  const std::string wire = VHSM_TRY(serialize(request));
  auto answer = ask(wire);
  if (!answer.ok()) return answer.error().about(at_.endpoint.url());
  return answer;
}

/// The error for an answer that is not 200; the server's own words go to the log alone.
Error Exchange::refused(Stage stage, const HttpAnswer& answer) const {
  const Refusal refusal = classify(stage, answer);
  at_.log.write(LogLevel::kWarning, at_.endpoint.url() + " answers " +
                                        std::to_string(answer.status) + ": " + refusal.detail);
  return refusal.error;
}

Result<Challenge> Exchange::challenge(std::string_view tee, CookieJar& cookies) {
  const HttpAnswer answer = VHSM_TRY(send(post(kAuthPath, cookies, auth_body(tee))));
  if (answer.status != kHttpOk) return refused(Stage::kAuth, answer);
  take_cookies(answer, cookies);
  return parse_challenge(answer.body);
}

Result<Session> Exchange::attest(Attester& attester, jose::TeeKeyKind kind, Pass pass,
                                 Facts& facts) {
  const auto began = Clock::now();
  CookieJar cookies;
  const Challenge nonce = VHSM_TRY(challenge(attester.tee(), cookies));
  auto tee_key = VHSM_TRY(jose::TeeKey::generate(kind));
  const auto digest = VHSM_TRY(runtime_digest(at_.tls.library(), nonce, tee_key.public_jwk()));
  facts.nonce = VHSM_TRY(nonce_id(at_.tls.library(), nonce.nonce));
  Proof proof = VHSM_TRY(attester.prove(digest, at_.limits.deadline));
  facts.measurement = std::move(proof.measurement);
  facts.tcb = std::move(proof.tcb);
  const HttpAnswer answer = VHSM_TRY(
      send(post(kAttestPath, cookies, attest_body(nonce, tee_key.public_jwk(), proof.evidence))));
  if (answer.status != kHttpOk) return refused(Stage::kAttest, answer);
  take_cookies(answer, cookies);
  Approval approval = VHSM_TRY(parse_approval(answer.body));
  const auto life = pass == Pass::kCookie ? std::min(approval.life, kSessionLife) : approval.life;
  return Session{std::move(cookies),
                 std::move(approval.token),
                 std::move(tee_key),
                 facts,
                 began,
                 began + life - kSessionMargin,
                 0};
}

Release Exchange::resource(const Session& session, Pass pass, const keystore::KeyName& name) {
  const bool by_cookie = pass == Pass::kCookie;
  const auto answer = send({.is_post = false,
                            .target = std::string(kResourcePath) + name.path(),
                            .host = {},
                            .cookies = by_cookie ? session.cookies.header() : std::string(),
                            .json_body = {},
                            .bearer = by_cookie ? std::string() : session.token});
  if (!answer.ok()) return {answer.error()};
  if (answer.value().status != kHttpOk) {
    return {refused(Stage::kResource, answer.value()),
            classify(Stage::kResource, answer.value()).session_ended};
  }
  auto secret = jose::decrypt(answer.value().body, session.tee_key.key());
  if (!secret.ok()) return {opened_badly(secret.error())};
  return {std::move(secret)};
}

Result<std::string> Exchange::probe(std::string_view tee) {
  VHSM_TRY(connect());
  std::string version = connection_->tls_version();
  CookieJar cookies;
  [[maybe_unused]] const auto answered = VHSM_TRY(challenge(tee, cookies));
  return version;
}

}  // namespace vhsm::nitride
