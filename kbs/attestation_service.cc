// SPDX-License-Identifier: Apache-2.0
//
// The attestation service.
#include "kbs/attestation_service.h"

#include "jose/runtime.h"
#include "kbs/claims.h"
#include "snp/evidence_json.h"
#include "snp/hex.h"

namespace vhsm::kbs {
namespace {

using jose::Json;

constexpr std::string_view kVariant = "AttestationError";
constexpr std::string_view kAuthFailed = "Attestation error: RCAR handshake Auth failed: ";
constexpr std::string_view kAttestFailed = "Attestation error: RCAR handshake Attest failed";
constexpr std::size_t kShownIdDigits = 8;

AuditRow row_for(const char* event, std::string_view session, std::string_view peer) {
  AuditRow row;
  row.event = event;
  row.session = session.substr(0, kShownIdDigits);
  row.peer = peer;
  return row;
}

/// Trustee's words, which its clients look for.
std::string auth_detail(const Error& error) {
  std::string detail(kAuthFailed);
  if (error.code != Errc::kVersion) return detail + reason_of(error);
  detail += "KBS Client Protocol Version Mismatch: expect =";
  detail += kProtocolVersion;
  return detail + " while the request is " + std::string(error.subject.text());
}

Status check_version(const Json& request) {
  const auto version = VHSM_TRY(jose::text_member(request, "version"));
  if (version == kProtocolVersion) return {};
  return fail(Errc::kVersion, "another protocol version", version);
}

Status refuse_init_data(const Json& request) {
  const Json* init_data = jose::find_member(request, "init-data");
  if (init_data == nullptr || init_data->is_null()) return {};
  return fail(Errc::kUnsupported, "init-data is not supported");
}

Result<const Json*> member(const Json& object, std::string_view name) {
  const Json* found = jose::find_member(object, name);
  if (found == nullptr) return fail(Errc::kBadFormat, "a JSON member is missing", name);
  return found;
}

/// What the client says its report is bound to.
struct Runtime {
  jose::TeeJwk tee_key;
  const Json* evidence = nullptr;
};

Result<Runtime> parse_runtime(const Json& request, const Challenge& challenge) {
  VHSM_TRY(refuse_init_data(request));
  const Json* runtime = VHSM_TRY(member(request, "runtime-data"));
  const auto nonce = VHSM_TRY(jose::text_member(*runtime, "nonce"));
  if (nonce != challenge.nonce) return fail(Errc::kNotAttested, "the nonce is not the session's");
  const Json* key = VHSM_TRY(member(*runtime, "tee-pubkey"));
  Runtime parsed;
  parsed.tee_key = VHSM_TRY(jose::tee_jwk_from_json(*key));
  const Json* tee_evidence = VHSM_TRY(member(request, "tee-evidence"));
  const auto additional = VHSM_TRY(jose::text_member(*tee_evidence, "additional_evidence"));
  if (!additional.empty()) {
    return fail(Errc::kUnsupported, "additional evidence of devices is not supported");
  }
  parsed.evidence = VHSM_TRY(member(*tee_evidence, "primary_evidence"));
  return parsed;
}

}  // namespace

Result<AttestationService> AttestationService::open(const Config& config, Sessions& sessions,
                                                    const TokenAuthority& tokens,
                                                    const Journal& journal) {
  auto roots = VHSM_TRY(snp::read_roots(config.certificates, config.trust_test_root));
  if (!config.trust_test_root.empty()) {
    journal.note(LogLevel::kWarning,
                 "trust_test_root is set: reports without hardware behind them are accepted");
  }
  if (config.policy.any_measurement) {
    journal.note(LogLevel::kWarning, "measurement = any: every genuine VM is accepted");
  }
  return AttestationService(config, std::move(roots), sessions, tokens, journal);
}

Result<Challenge> AttestationService::challenge(std::string_view body) const {
  const Json request = VHSM_TRY(jose::parse_object(body));
  VHSM_TRY(check_version(request));
  const auto tee = VHSM_TRY(jose::text_member(request, "tee"));
  if (tee != "snp") return fail(Errc::kUnsupported, "a TEE that is not snp", tee);
  const auto extra = member(request, "extra-params");
  if (!extra.ok()) return extra.error();
  return sessions_->start();
}

Reply AttestationService::auth(std::string_view body, std::string_view peer) const {
  const auto started = challenge(body);
  AuditRow row = row_for("auth", started.ok() ? std::string_view(started.value().id) : "", peer);
  row.outcome = started.ok() ? "granted" : "refused";
  if (!started.ok()) row.reason = reason_of(started.error());
  const Status recorded = journal_->decided(row);
  if (!started.ok()) return refusal(401, kVariant, auth_detail(started.error()));
  if (!recorded.ok()) return refusal(401, kVariant, auth_detail(recorded.error()));
  return {200, ordered({{"nonce", started.value().nonce}, {"extra-params", ""}}),
          session_cookie(started.value())};
}

Result<snp::VerifiedReport> AttestationService::judged(const Json& evidence,
                                                       const snp::ReportData& expected,
                                                       AuditRow& row) const {
  const auto parsed = VHSM_TRY(snp::evidence_from_json(evidence));
  auto report = VHSM_TRY(snp::verify(parsed, roots_, config_->verify));
  row.measurement = snp::to_hex(report.bytes<snp::field::kMeasurement>());
  row.chip_id = snp::to_hex(report.bytes<snp::field::kChipId>());
  snp::ReportPolicy policy = config_->policy;
  policy.report_data = expected;
  VHSM_TRY(snp::judge(report, policy));
  return report;
}

Result<std::string> AttestationService::appraise(const Challenge& challenge, std::string_view body,
                                                 AuditRow& row) const {
  const Json request = VHSM_TRY(jose::parse_object(body));
  const Runtime runtime = VHSM_TRY(parse_runtime(request, challenge));
  const auto expected = VHSM_TRY(jose::report_data(challenge.nonce, runtime.tee_key));
  const auto report = VHSM_TRY(judged(*runtime.evidence, expected, row));
  auto claims = ear_claims(report, jose::runtime_claims(challenge.nonce, runtime.tee_key));
  return tokens_->sign(std::move(claims));
}

Reply AttestationService::attest(std::string_view cookie, std::string_view body,
                                 std::string_view peer) const {
  const std::string id = session_in(cookie);
  AuditRow row = row_for("attest", id, peer);
  auto attested = [&]() -> Result<Reply> {
    const Challenge session = VHSM_TRY(sessions_->use(id));
    std::string token = VHSM_TRY(appraise(session, body, row));
    Reply reply{200, ordered({{"token", token}}), session_cookie(session)};
    VHSM_TRY(sessions_->attested(id, std::move(token)));
    return reply;
  }();
  row.outcome = attested.ok() ? "granted" : "refused";
  if (!attested.ok()) row.reason = reason_of(attested.error());
  const Status recorded = journal_->decided(row);
  // The cause is for the operator: a peer learns nothing about the policy.
  if (!attested.ok() || !recorded.ok()) return refusal(401, kVariant, kAttestFailed);
  return std::move(attested).value();
}

}  // namespace vhsm::kbs
