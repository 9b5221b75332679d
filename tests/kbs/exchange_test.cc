// SPDX-License-Identifier: Apache-2.0
//
// The whole exchange over TLS, and each way in which it must fail.
#include <filesystem>

#include "jose/base64.h"
#include "jose/jcs.h"
#include "jose/jwe.h"
#include "jose/jwt.h"
#include "jose/runtime.h"
#include "snp/evidence_json.h"
#include "tests/kbs/support.h"

namespace vhsm::kbs {
namespace {

constexpr std::string_view kContent = "-----BEGIN PRIVATE KEY-----\nnot really\n";

class Exchange : public KbsTest {
 protected:
  void begin(const std::function<void(Config&)>& change = [](Config&) {}) {
    start(change);
    ASSERT_TRUE(kbs_->store().put("default/tls/www", secret(kContent)).ok());
  }

  std::string opened(const httplib::Result& answer) {
    if (!answer || answer->status != 200) return "refused: " + refusal(answer);
    const auto plaintext = jose::decrypt(answer->body, key_.value().key());
    return plaintext.ok() ? text(plaintext.value()) : describe(plaintext.error());
  }
};

TEST_F(Exchange, ReleasesAResourceToAnAttestedVm) {
  begin();
  attest();
  EXPECT_EQ(opened(get_resource("default/tls/www")), kContent);

  const auto rows = kbs_->store().audit(10).value();
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].event, "auth");
  EXPECT_EQ(rows[1].event, "attest");
  EXPECT_EQ(rows[2].event, "resource");
  EXPECT_EQ(rows[2].resource, "default/tls/www");
  for (const AuditRow& row : rows) {
    EXPECT_EQ(row.outcome, "granted");
    EXPECT_EQ(row.reason, "");
    EXPECT_EQ(row.session, cookie_.substr(cookie_.find('=') + 1, 8));
    EXPECT_THAT(row.peer, testing::StartsWith("127.0.0.1:"));
    EXPECT_THAT(row.time, testing::MatchesRegex("20..-..-..T..:..:..Z"));
  }
  for (const std::size_t i : {1U, 2U}) {
    EXPECT_EQ(rows[i].measurement, emulator_measurement());
    EXPECT_EQ(rows[i].chip_id.size(), 128U);
  }
}

TEST_F(Exchange, ChallengeHasTheProtocolsForm) {
  begin();
  const auto answer = http_->Post(
      "/kbs/v0/auth", R"({"version":"0.4.0","tee":"snp","extra-params":{"a":[1]}})", "text/plain");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_THAT(answer->body,
              testing::MatchesRegex(R"(\{"nonce":"[A-Za-z0-9+/]{43}=","extra-params":""\})"));
  EXPECT_THAT(answer->get_header_value("Set-Cookie"),
              testing::MatchesRegex("kbs-session-id=[0-9a-f]{12}4[0-9a-f]{19}; "
                                    "Expires=[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} "
                                    "[0-9]{2}:[0-9]{2}:[0-9]{2} GMT"));
  EXPECT_THAT(answer->get_header_value("Content-Type"), testing::StartsWith("application/json"));
}

TEST_F(Exchange, TokenSaysWhatTheReportSays) {
  begin();
  attest();
  const Json claims = jose::unverified_claims(token_).value();
  EXPECT_EQ(claims["exp"].get<std::int64_t>() - claims["iat"].get<std::int64_t>(), 300);
  const Json& cpu = claims["submods"]["cpu0"];
  EXPECT_EQ(cpu["ear.status"], "contraindicated");  // an emulator has no hardware behind it
  const Json& evidence = cpu["ear.veraison.annotated-evidence"];
  EXPECT_EQ(evidence["runtime_data_claims"]["nonce"], nonce_);
  EXPECT_EQ(evidence["runtime_data_claims"]["tee-pubkey"],
            jose::to_json(key_.value().public_jwk()));
  EXPECT_EQ(evidence["snp"]["measurement"], emulator_measurement());
  EXPECT_EQ(evidence["snp"]["policy_debug_allowed"], false);
}

TEST_F(Exchange, TakesTheTokenAsBearerWithoutASession) {
  begin();
  attest();
  EXPECT_EQ(opened(http_->Get("/kbs/v0/resource/default/tls/www",
                              {{"Authorization", "Bearer " + token_}})),
            kContent);
}

TEST_F(Exchange, RefusesOtherSchemesAndForgedTokens) {
  begin();
  attest();
  const std::string path = "/kbs/v0/resource/default/tls/www";
  EXPECT_EQ(refusal(http_->Get(path)), "401 TokenNotFound");
  EXPECT_EQ(refusal(http_->Get(path, {{"Authorization", "Attestation " + token_}})),
            "401 TokenNotFound");
  std::string forged = token_;
  char& byte = forged[forged.rfind('.') + 5];
  byte = byte == 'A' ? 'B' : 'A';
  EXPECT_EQ(refusal(http_->Get(path, {{"Authorization", "Bearer " + forged}})),
            "401 TokenVerifierError");
  EXPECT_EQ(last_audit(), "resource refused a token's signature does not verify");
  EXPECT_EQ(refusal(http_->Get(path, {{"Authorization", "Bearer a.b.c"}})),
            "401 TokenVerifierError");
}

struct BadAuth {
  const char* name;
  const char* body;
  const char* detail;
};
class RefusedAuth : public KbsTest, public testing::WithParamInterface<BadAuth> {};
TEST_P(RefusedAuth, SaysWhy) {
  start();
  const auto answer = http_->Post("/kbs/v0/auth", GetParam().body, "application/json");
  EXPECT_EQ(refusal(answer), "401 AttestationError");
  EXPECT_THAT(answer->body,
              testing::HasSubstr(std::string("RCAR handshake Auth failed: ") + GetParam().detail));
  EXPECT_FALSE(answer->has_header("Set-Cookie"));
  EXPECT_THAT(last_audit(), testing::StartsWith("auth refused "));
}
INSTANTIATE_TEST_SUITE_P(
    Bodies, RefusedAuth,
    testing::Values(
        BadAuth{"OldVersion", R"({"version":"0.2.0","tee":"snp","extra-params":""})",
                "KBS Client Protocol Version Mismatch: expect =0.4.0 while the request is 0.2.0"},
        BadAuth{"NewVersion", R"({"version":"0.4.1","tee":"snp","extra-params":""})",
                "KBS Client Protocol Version Mismatch: expect =0.4.0 while the request is 0.4.1"},
        BadAuth{"NumberVersion", R"({"version":4,"tee":"snp","extra-params":""})",
                "a JSON member is not a string: version"},
        BadAuth{"NoVersion", R"({"tee":"snp","extra-params":""})",
                "a JSON member is missing: version"},
        BadAuth{"OtherTee", R"({"version":"0.4.0","tee":"tdx","extra-params":""})",
                "a TEE that is not snp: tdx"},
        BadAuth{"SampleTee", R"({"version":"0.4.0","tee":"sample","extra-params":""})",
                "a TEE that is not snp: sample"},
        BadAuth{"NoExtraParams", R"({"version":"0.4.0","tee":"snp"})",
                "a JSON member is missing: extra-params"},
        BadAuth{"NoJson", "{", "not a JSON object"}, BadAuth{"Empty", "", "not a JSON object"},
        BadAuth{"Array", "[]", "not a JSON object"}),
    [](const auto& test) { return std::string(test.param.name); });

/// Attestation bodies that must be refused, and what the audit row says.
class RefusedAttestation : public Exchange {
 protected:
  void expect_refused(const Json& body, const std::string& reason) {
    const auto answer = post_attest(body);
    EXPECT_EQ(refusal(answer), "401 AttestationError");
    // The peer learns nothing of the cause.
    EXPECT_THAT(answer->body, testing::HasSubstr(
                                  R"("detail":"Attestation error: RCAR handshake Attest failed")"));
    EXPECT_THAT(last_audit(),
                testing::AllOf(testing::StartsWith("attest refused "), testing::HasSubstr(reason)));
    EXPECT_EQ(refusal(get_resource("default/tls/www")), "401 TokenNotFound");
  }
};

TEST_F(RefusedAttestation, WithAnotherNonce) {
  begin();
  auth();
  const auto platform = vm();
  Attestation attestation = this->attestation(*platform);
  attestation.nonce = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
  expect_refused(attestation.body(), "the nonce is not the session's");
}

TEST_F(RefusedAttestation, WithAReportForAnotherNonce) {
  begin();
  auth();
  const auto platform = vm();
  Attestation attestation = this->attestation(*platform);
  auth();
  attestation.nonce = nonce_;
  expect_refused(attestation.body(), "REPORT_DATA");
}

TEST_F(RefusedAttestation, WithAnotherTeeKey) {
  begin();
  auth();
  const auto platform = vm();
  Attestation attestation = this->attestation(*platform);
  attestation.tee_key = jose::TeeKey::generate().value().public_jwk();
  expect_refused(attestation.body(), "REPORT_DATA");
}

TEST_F(RefusedAttestation, InAUsedSession) {
  begin();
  attest();
  const auto platform = vm();
  const auto again = post_attest(attestation(*platform).body());
  EXPECT_EQ(refusal(again), "401 AttestationError");
  EXPECT_EQ(last_audit(), "attest refused the session's nonce was used before");
}

TEST_F(RefusedAttestation, AfterAFailedAttemptInTheSameSession) {
  begin();
  auth();
  expect_refused(Json::object(), "a JSON member is missing: runtime-data");
  const auto platform = vm();
  expect_refused(attestation(*platform).body(), "the session's nonce was used before");
}

TEST_F(RefusedAttestation, WithoutASession) {
  begin();
  auth();
  const auto platform = vm();
  const Json body = attestation(*platform).body();
  for (const char* cookie :
       {"", "kbs-session-id=", "kbs-session-id=00000000000040008000000000000000", "other=1"}) {
    cookie_ = cookie;
    expect_refused(body, "no such session");
  }
}

TEST_F(RefusedAttestation, InAnExpiredSession) {
  begin();
  auth();
  const auto platform = vm();
  const Json body = attestation(*platform).body();
  advance(std::chrono::seconds(301));
  expect_refused(body, "the session has expired");
}

TEST_F(RefusedAttestation, OfAnotherMeasurement) {
  begin([](Config& config) { config.policy.measurements = {snp::Measurement{}}; });
  auth();
  const auto platform = vm();
  expect_refused(attestation(*platform).body(), "MEASUREMENT");
  EXPECT_EQ(kbs_->store().audit(2).value().front().measurement, emulator_measurement());
}

TEST_F(RefusedAttestation, UnderAnUntrustedRoot) {
  begin([](Config& config) { config.trust_test_root.clear(); });
  auth();
  const auto platform = vm();
  expect_refused(attestation(*platform).body(), "");
  EXPECT_EQ(kbs_->store().audit(2).value().front().measurement, "");  // nothing genuine to name
}

class DebugVm : public RefusedAttestation {
 protected:
  std::unique_ptr<snp::Platform> debug_vm() {
    const std::string copy = folder_ / "debug";
    std::filesystem::copy(VHSM_TEST_EMULATOR, copy, std::filesystem::copy_options::recursive);
    Json state = Json::parse(read_text(copy + "/emulator.json"));
    state["policy"] = state["policy"].get<std::uint64_t>() | snp::policy_bit::kDebugAllowed;
    write_text(copy + "/emulator.json", state.dump());
    return vm(copy);
  }
};

TEST_F(DebugVm, IsRefused) {
  begin();
  auth();
  expect_refused(attestation(*debug_vm()).body(), "POLICY.DEBUG");
}

TEST_F(DebugVm, IsAcceptedWhenAllowed) {
  begin([](Config& config) { config.policy.allow_debug = true; });
  auth();
  EXPECT_EQ(post_attest(attestation(*debug_vm()).body())->status, 200) << last_audit();
}

TEST_F(RefusedAttestation, OfAnotherVmpl) {
  begin([](Config& config) { config.policy.vmpl = 1; });
  auth();
  const auto platform = vm();
  expect_refused(attestation(*platform).body(), "another VMPL");
}

TEST_F(RefusedAttestation, WithAChangedReport) {
  begin();
  auth();
  const auto platform = vm();
  Attestation attestation = this->attestation(*platform);
  attestation.evidence.report[snp::field::kGuestSvn.offset] ^= 1;
  expect_refused(attestation.body(), "");
}

TEST_F(RefusedAttestation, WithMalformedMembers) {
  begin();
  auth();
  const auto platform = vm();
  const Json good = attestation(*platform).body();
  const char* patches[] = {R"({"runtime-data":null})",
                           R"({"runtime-data":{"nonce":7}})",
                           R"({"runtime-data":{"tee-pubkey":{"crv":"P-384"}}})",
                           R"({"runtime-data":{"tee-pubkey":{"x":"AA"}}})",
                           R"({"tee-evidence":{"additional_evidence":"{}"}})",
                           R"({"tee-evidence":{"additional_evidence":null}})",
                           R"({"tee-evidence":{"primary_evidence":null}})",
                           R"({"tee-evidence":{"primary_evidence":{"attestation_report":[]}}})",
                           R"({"tee-evidence":{"primary_evidence":{"cert_chain":[]}}})",
                           R"({"init-data":{"format":"toml","body":""}})"};
  for (const char* patch : patches) {
    auth();
    Json body = good;
    body["runtime-data"]["nonce"] = nonce_;
    body.merge_patch(Json::parse(patch));
    const auto answer = post_attest(body);
    EXPECT_EQ(refusal(answer), "401 AttestationError") << patch;
    EXPECT_THAT(last_audit(), testing::StartsWith("attest refused ")) << patch;
  }
}

TEST_F(Exchange, MissingResourceIs404) {
  begin();
  attest();
  EXPECT_EQ(refusal(get_resource("default/tls/other")), "404 PluginInternalError");
  EXPECT_EQ(last_audit(), "resource refused no such resource: default/tls/other");
}

TEST_F(Exchange, PathsOutsideTheProtocolAreMissing) {
  begin();
  attest();
  for (const char* path : {"default/tls", "default/tls/www/x", "default//www", "", ".a/b/c",
                           "a/../c", "default/tls/www%00", "a/b/c%20d"}) {
    EXPECT_EQ(refusal(get_resource(path)), "404 PluginInternalError") << path;
  }
}

TEST_F(Exchange, DisabledResourceIsDenied) {
  begin();
  attest();
  ASSERT_TRUE(kbs_->store().set_disabled("default/tls/www", true).ok());
  EXPECT_EQ(refusal(get_resource("default/tls/www")), "403 PolicyDeny");
  EXPECT_EQ(last_audit(), "resource refused the resource is disabled: default/tls/www");
  ASSERT_TRUE(kbs_->store().set_disabled("default/tls/www", false).ok());
  EXPECT_EQ(opened(get_resource("default/tls/www")), kContent);
}

TEST_F(Exchange, ResourcePolicyNobodyDeniesEverything) {
  begin([](Config& config) { config.release = false; });
  attest();
  EXPECT_EQ(refusal(get_resource("default/tls/www")), "403 PolicyDeny");
}

TEST_F(Exchange, TrusteeCompatAnswers401) {
  begin([](Config& config) { config.trustee_compat = true; });
  attest();
  EXPECT_EQ(refusal(get_resource("default/tls/other")), "401 PluginInternalError");
  ASSERT_TRUE(kbs_->store().set_disabled("default/tls/www", true).ok());
  EXPECT_EQ(refusal(get_resource("default/tls/www")), "401 PolicyDeny");
}

TEST_F(Exchange, SessionEndsAfterFiveMinutes) {
  begin();
  attest();
  advance(std::chrono::seconds(299));
  EXPECT_EQ(opened(get_resource("default/tls/www")), kContent);
  advance(std::chrono::seconds(2));
  EXPECT_EQ(refusal(get_resource("default/tls/www")), "401 TokenNotFound");
}

TEST_F(Exchange, TokenEndsAfterItsLifetimeAndLeeway) {
  begin([](Config& config) { config.token_lifetime = std::chrono::seconds(10); });
  attest();
  advance(std::chrono::seconds(69));
  EXPECT_EQ(opened(get_resource("default/tls/www")), kContent);
  advance(std::chrono::seconds(2));
  EXPECT_EQ(refusal(get_resource("default/tls/www")), "401 TokenVerifierError");
  EXPECT_EQ(last_audit(), "resource refused a token has expired");
}

TEST_F(Exchange, TeeKeyForAnotherAlgorithmIsAJweError) {
  begin();
  auth();
  const auto platform = vm();
  Attestation attestation;
  attestation.nonce = nonce_;
  attestation.tee_key = key_.value().public_jwk();
  std::get<jose::EcPublicJwk>(attestation.tee_key).alg = "ECDH-ES";
  attestation.evidence =
      platform->attest(jose::report_data(nonce_, attestation.tee_key).value(), snp::kNoDeadline)
          .value();
  ASSERT_EQ(post_attest(attestation.body())->status, 200);
  EXPECT_EQ(refusal(get_resource("default/tls/www")), "401 JweError");
}

TEST_F(Exchange, ReleasesAnyBytes) {
  begin();
  attest();
  std::string content(1 << 20, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31);
  ASSERT_TRUE(kbs_->store().put("a/b/big", secret(content)).ok());
  ASSERT_TRUE(kbs_->store().put("a/b/empty", secret("")).ok());
  EXPECT_TRUE(opened(get_resource("a/b/big")) == content);
  EXPECT_EQ(opened(get_resource("a/b/empty")), "");
}

TEST_F(Exchange, ServesManyClientsAtOnce) {
  begin();
  attest();
  std::atomic<int> good{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      const auto http = client();
      for (int round = 0; round < 5; ++round) {
        const auto answer = http->Get("/kbs/v0/resource/default/tls/www", {{"Cookie", cookie_}});
        if (answer && answer->status == 200) ++good;
      }
    });
  }
  for (std::thread& one : clients) one.join();
  EXPECT_EQ(good, 40);
}

TEST_F(Exchange, LogNamesDecisionsAndNoSecret) {
  begin();
  attest();
  EXPECT_EQ(opened(get_resource("default/tls/www")), kContent);
  const std::string log = read_text(folder_ / "log");
  EXPECT_THAT(log, testing::HasSubstr("resource granted peer=127.0.0.1:"));
  EXPECT_THAT(log, testing::Not(testing::HasSubstr("PRIVATE KEY")));
  EXPECT_THAT(log, testing::Not(testing::HasSubstr(token_)));
  EXPECT_THAT(log, testing::Not(testing::HasSubstr(cookie_.substr(cookie_.find('=') + 1))));
}

}  // namespace
}  // namespace vhsm::kbs
