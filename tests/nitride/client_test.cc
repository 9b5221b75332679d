// SPDX-License-Identifier: Apache-2.0
//
// The exchange with a KBS that keeps to the protocol, and every way it can say no.
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>

#include "memory/protected_memory.h"
#include "tests/nitride/support.h"

namespace vhsm::nitride {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ClientTest : public NitrideTest {
 protected:
  ClientTest() {
    settings.kbs = {kbs.url()};
    kbs.hold("default/tls/www", "the key of www");
    kbs.hold("default/tls/mail", "the key of mail");
  }
  FakeKbs kbs;
};

TEST_F(ClientTest, BringsAKeyIntoProtectedMemory) {
  const auto secret = fetch();
  ASSERT_TRUE(secret.ok()) << describe(secret.error());
  EXPECT_EQ(text_of(secret.value()), "the key of www");
  EXPECT_TRUE(memory::contains(secret.value().expose().data()));
}

TEST_F(ClientTest, BringsBinaryAndEmptyResourcesUnmodified) {
  kbs.hold("default/a/empty", "");
  kbs.hold("default/a/binary", std::string("\0\xff\n\0", 4));
  EXPECT_EQ(outcome("default/a/empty"), "");
  EXPECT_EQ(outcome("default/a/binary"), std::string("\0\xff\n\0", 4));
}

TEST_F(ClientTest, SendsExactlyTheProtocolsAuthBody) {
  ASSERT_TRUE(fetch().ok());
  EXPECT_EQ(kbs.last_auth_body,
            R"({"extra-params":{"supported-hash-algorithms":["sha256","sha384","sha512"]},)"
            R"("tee":"snp","version":"0.4.0"})");
  EXPECT_EQ(kbs.last_agent, "vhsm/" VHSM_VERSION);
}

TEST_F(ClientTest, SendsExactlyTheProtocolsAttestMembers) {
  ASSERT_TRUE(fetch().ok());
  const auto body = nlohmann::json::parse(kbs.last_attest_body);
  EXPECT_EQ(body.size(), 3);
  EXPECT_TRUE(body["init-data"].is_null());
  EXPECT_EQ(body["runtime-data"].size(), 2);
  EXPECT_EQ(body["runtime-data"]["nonce"], "bm9uY2U/session0+==");
  EXPECT_EQ(body["runtime-data"]["tee-pubkey"].size(), 5);
  EXPECT_EQ(body["tee-evidence"].size(), 2);
  EXPECT_EQ(body["tee-evidence"]["additional_evidence"], "");
  EXPECT_TRUE(body["tee-evidence"]["primary_evidence"]["cert_chain"].is_null());
}

TEST_F(ClientTest, OneAttestationServesTwoKeys) {
  EXPECT_EQ(outcome("default/tls/www"), "the key of www");
  EXPECT_EQ(outcome("default/tls/mail"), "the key of mail");
  EXPECT_EQ(metrics->reports, 1U);
  EXPECT_EQ(metrics->fetches, 2U);
  EXPECT_EQ(kbs.auths, 1);
}

TEST_F(ClientTest, OneAttestationServesManyThreads) {
  kbs.on_auth = [](const auto&, auto&) {
    std::this_thread::sleep_for(100ms);
    return false;
  };
  client();
  std::vector<std::thread> threads;
  std::atomic<int> released{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { released += fetch().ok() ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(released, 8);
  EXPECT_EQ(metrics->reports, 1U);
}

TEST_F(ClientTest, ThreadsThatWaitForAnAttestationShareItsFailure) {
  kbs.on_auth = [](const auto&, auto&) {
    std::this_thread::sleep_for(100ms);
    return false;
  };
  kbs.on_attest = refuse(401, "AttestationError");
  client();
  std::vector<std::thread> threads;
  std::atomic<int> refused{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { refused += outcome() == "not attested" ? 1 : 0; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 4);
  EXPECT_EQ(metrics->reports, 1U);
}

// The KBS is well: who has no time to wait for our own attestation says nothing of it.
TEST_F(ClientTest, WhoDoesNotWaitForAnothersAttestationMakesNoKbsLookDead) {
  HeldAttestation held(kbs);
  client();
  std::thread first([&] { EXPECT_EQ(outcome(), "the key of www"); });
  held.wait_for_it();
  for (int hasty = 0; hasty < 2; ++hasty) {
    const auto refused = client().fetch(name_of("default/tls/mail"), Clock::now() + 20ms);
    EXPECT_EQ(refused.error().code, Errc::kInUse) << describe(refused.error());
  }
  held.let_go();
  first.join();
}

TEST_F(ClientTest, AnEndedSessionIsAttestedAnewOnce) {
  EXPECT_EQ(outcome(), "the key of www");
  kbs.forget_sessions();
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(metrics->reports, 2U);
  EXPECT_EQ(kbs.resources, 3);
}

TEST_F(ClientTest, ASessionThatNeverHoldsIsGivenUpAfterTheSecondAttestation) {
  kbs.on_resource = refuse(401, "TokenVerifierError");
  EXPECT_EQ(outcome(), "not attested");
  EXPECT_EQ(metrics->reports, 2U);
}

TEST_F(ClientTest, AShortTokenEndsTheSessionEarly) {
  kbs.token_seconds = 2;
  EXPECT_EQ(outcome("default/tls/www"), "the key of www");
  EXPECT_EQ(outcome("default/tls/mail"), "the key of mail");
  EXPECT_EQ(metrics->reports, 2U);
}

TEST_F(ClientTest, ATokenFromAClockThatIsTenYearsOffLivesByThatClock) {
  constexpr std::int64_t kTenYears = 315'360'000;
  for (const std::int64_t off : {-kTenYears, kTenYears}) {
    kbs.token_issued = std::time(nullptr) + off;
    kbs.forget_sessions();
    EXPECT_EQ(outcome("default/tls/www"), "the key of www");
    const auto reports = metrics->reports.load();
    EXPECT_EQ(outcome("default/tls/mail"), "the key of mail");
    EXPECT_EQ(metrics->reports, reports) << "the session lives";
  }
}

TEST_F(ClientTest, CookiesOfAnOriginStayTogether) {
  kbs.extra_set_cookie = "balancer=node7; Path=/; Secure";
  ASSERT_TRUE(fetch().ok());
  EXPECT_THAT(kbs.last_resource_cookie, HasSubstr("kbs-session-id=session0"));
  EXPECT_THAT(kbs.last_resource_cookie, HasSubstr("balancer=node7"));
  EXPECT_THAT(kbs.last_resource_cookie, Not(HasSubstr("Expires")));
}

// ----- refusals ----------------------------------------------------------------------------------

TEST_F(ClientTest, AMissingKeyIsMissing) {
  EXPECT_EQ(outcome("default/tls/none"), "missing");
  const auto again = fetch("default/tls/none");
  EXPECT_THAT(std::string(again.error().subject.text()), HasSubstr("vhsm:default/tls/none"));
  EXPECT_EQ(kbs.resources, 2) << "permanent errors are not retried";
  EXPECT_EQ(metrics->reports, 1U) << "and cost no new attestation";
}

TEST_F(ClientTest, ANewerStatusForAMissingKeyIsUnderstood) {
  kbs.on_resource = refuse(404, "SomethingNew");
  EXPECT_EQ(outcome(), "missing");
}

TEST_F(ClientTest, AnErrorNamesKeyAndEndpoint) {
  settings.kbs = {dead_url()};
  const auto unreachable = fetch();
  EXPECT_EQ(unreachable.error().subject.text(), "vhsm:default/tls/www from " + settings.kbs[0]);
  const auto proof = client().prove(TimePoint::min(), Clock::now() + 10s);
  EXPECT_EQ(proof.error().subject.text(), "attestation from " + settings.kbs[0]);
}

TEST_F(ClientTest, ADenialIsADenial) {
  kbs.on_resource = refuse(401, "PolicyDeny", "Access denied by policy");
  EXPECT_EQ(outcome(), "denied");
  kbs.on_resource = refuse(403, "SomethingNew");
  EXPECT_EQ(outcome(), "denied");
  EXPECT_EQ(metrics->reports, 1U);
}

TEST_F(ClientTest, ARefusedAttestationIsNotAttested) {
  kbs.on_attest = refuse(401, "AttestationError", "RCAR handshake Attest failed");
  EXPECT_EQ(outcome(), "not attested");
}

TEST_F(ClientTest, AnotherProtocolVersionIsNamed) {
  kbs.on_auth = refuse(401, "AttestationError",
                       "Attestation error: RCAR handshake Auth failed: KBS Client Protocol "
                       "Version Mismatch: expect =0.2.0 while the request is 0.4.0");
  EXPECT_EQ(outcome(), "version");
  EXPECT_THAT(folder.read("log"), HasSubstr("expect =0.2.0"));
}

TEST_F(ClientTest, AHashThatWasNotOfferedIsAnotherVersion) {
  kbs.on_auth = [](const auto&, httplib::Response& response) {
    response.set_content(R"({"nonce":"x","extra-params":{"selected-hash-algorithm":"sm3"}})",
                         "application/json");
    return true;
  };
  EXPECT_EQ(outcome(), "version");
}

TEST_F(ClientTest, ABrokenPlatformIsNamedAndNoOtherKbsAsked) {
  FakeKbs second;
  settings.kbs.push_back(second.url());
  platform->broken = true;
  const auto secret = fetch();
  ASSERT_FALSE(secret.ok());
  EXPECT_EQ(secret.error().code, Errc::kPlatform);
  EXPECT_EQ(secret.error().subject.text(), "fake");
  EXPECT_EQ(second.auths, 0);
}

TEST_F(ClientTest, WithoutAPlatformNothingIsFetched) {
  platform = nullptr;
  EXPECT_EQ(outcome(), "no platform");
}

TEST_F(ClientTest, AServersTroubleIsNoVerdict) {
  kbs.on_resource = [](const auto&, httplib::Response& response) {
    response.status = 503;
    response.set_content("<html>maintenance</html>", "text/html");
    return true;
  };
  EXPECT_EQ(outcome(), "unreachable");
}

TEST_F(ClientTest, ARedirectIsNotFollowed) {
  kbs.on_auth = [](const auto&, httplib::Response& response) {
    response.set_redirect("http://127.0.0.1:1/elsewhere");
    return true;
  };
  EXPECT_EQ(outcome(), "unreachable");
}

TEST_F(ClientTest, TheServersWordsReachTheLogOnlyAndHarmless) {
  kbs.on_resource = refuse(401, "PolicyDeny", "no\n\x1b[31m" + std::string(5000, 'A'));
  const auto secret = fetch();
  EXPECT_THAT(describe(secret.error()), Not(HasSubstr("AAA")));
  const std::string log = folder.read("log");
  EXPECT_THAT(log, HasSubstr("no??[31mAAA"));
  EXPECT_LT(log.size(), 2000U);
}

// ----- audit -------------------------------------------------------------------------------------

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST_F(ClientTest, AttestationReleaseAndDenialLeaveOneAuditLineEach) {
  static_cast<void>(fetch("default/tls/www"));
  static_cast<void>(fetch("default/tls/none"));
  const auto lines = lines_of(folder.read("audit"));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0]["event"], "attestation");
  EXPECT_EQ(lines[0]["outcome"], "granted");
  EXPECT_EQ(lines[1]["event"], "release");
  EXPECT_EQ(lines[1]["outcome"], "granted");
  EXPECT_EQ(lines[1]["key"], "default/tls/www");
  EXPECT_EQ(lines[2]["event"], "denial");
  EXPECT_EQ(lines[2]["outcome"], "missing");
  EXPECT_EQ(lines[2]["key"], "default/tls/none");
  for (const auto& line : lines) {
    EXPECT_EQ(line["endpoint"], kbs.url());
    EXPECT_EQ(line["measurement"], std::string(96, '0'));
    EXPECT_EQ(line["tcb"], std::string(16, '0'));
    EXPECT_EQ(line["nonce"], lines[0]["nonce"]);
    EXPECT_EQ(std::string(line["nonce"]).size(), 16U);
    EXPECT_TRUE(line["ms"].is_number_unsigned());
  }
}

TEST_F(ClientTest, ARefusedAttestationsLineTellsWhatWasRefused) {
  kbs.on_attest = refuse(401, "AttestationError");
  static_cast<void>(fetch());
  const auto lines = lines_of(folder.read("audit"));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["event"], "attestation");
  EXPECT_EQ(lines[0]["outcome"], "not attested");
  EXPECT_EQ(lines[0]["measurement"], std::string(96, '0'));
  EXPECT_EQ(std::string(lines[0]["nonce"]).size(), 16U);
  EXPECT_EQ(lines[1]["event"], "denial");
}

TEST_F(ClientTest, NoLineTellsASecret) {
  ASSERT_TRUE(fetch().ok());
  const std::string words = folder.read("audit") + folder.read("log");
  EXPECT_THAT(words, Not(HasSubstr("the key of")));
  EXPECT_THAT(words, Not(HasSubstr("bm9uY2U")));
  EXPECT_THAT(words, Not(HasSubstr("c2ln"))) << "the token";
}

// ----- proofs anew -------------------------------------------------------------------------------

TEST_F(ClientTest, ARenewalIsMadeOnAnAttestationThatIsLateEnough) {
  ASSERT_TRUE(fetch().ok());
  const auto since = Clock::now();
  const auto renew = [&] {
    return client().renew(name_of("default/tls/www"), since, Clock::now() + 10s).ok();
  };
  EXPECT_TRUE(renew());
  EXPECT_EQ(metrics->reports, 2U);
  EXPECT_TRUE(renew());
  EXPECT_TRUE(client().renew(name_of("default/tls/mail"), since, Clock::now() + 10s).ok());
  EXPECT_EQ(metrics->reports, 2U) << "one proof for all that are due";
  EXPECT_THAT(folder.read("audit"), HasSubstr(R"("event":"renewal")"));
}

TEST_F(ClientTest, AProofAsksForNoKey) {
  const auto first = client().prove(TimePoint::min(), Clock::now() + 10s);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(client().prove(TimePoint::min(), Clock::now() + 10s).value(), first.value())
      << "the same proof, and as old";
  EXPECT_EQ(metrics->reports, 1U);
  const auto since = Clock::now();
  EXPECT_GE(client().prove(since, Clock::now() + 10s).value(), since);
  EXPECT_EQ(metrics->reports, 2U);
  EXPECT_EQ(kbs.resources, 0);
  kbs.on_attest = refuse(401, "AttestationError");
  EXPECT_EQ(client().prove(Clock::now(), Clock::now() + 10s).error().code, Errc::kNotAttested);
}

// ----- how much it costs -------------------------------------------------------------------------

TEST_F(ClientTest, AFirstUseTakesThreeRequestsAndALaterOneTakesOne) {
  ASSERT_TRUE(fetch("default/tls/www").ok());
  EXPECT_EQ(kbs.auths + kbs.attests + kbs.resources, 3);
  ASSERT_TRUE(fetch("default/tls/mail").ok());
  EXPECT_EQ(kbs.auths + kbs.attests + kbs.resources, 4);
}

TEST_F(ClientTest, AThousandKeysCostOneAttestation) {
  constexpr int kKeys = 1000;
  constexpr int kThreads = 4;
  for (int i = 0; i < kKeys; ++i) kbs.hold("default/many/k" + std::to_string(i), "x");
  client();
  std::atomic<int> next{0};
  std::atomic<int> released{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int key = next++; key < kKeys; key = next++) {
        released += fetch(("default/many/k" + std::to_string(key)).c_str()).ok() ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(released, kKeys);
  EXPECT_EQ(metrics->reports, 1U);
  EXPECT_EQ(kbs.attests, 1);
}

// ----- kinds of TEE keys and evidence ------------------------------------------------------------

class TeeKeyTest : public ClientTest, public ::testing::WithParamInterface<const char*> {};
TEST_P(TeeKeyTest, OfThisKindBringsTheKey) {
  settings.tee_key = GetParam();
  EXPECT_EQ(outcome(), "the key of www");
  const auto jwk = nlohmann::json::parse(kbs.last_attest_body)["runtime-data"]["tee-pubkey"];
  EXPECT_EQ(jwk.value("crv", jwk.value("kty", "")), GetParam());
  EXPECT_EQ(jwk.size(), jwk["kty"] == "RSA" ? 4U : 5U);
}
INSTANTIATE_TEST_SUITE_P(Kinds, TeeKeyTest, ::testing::Values("P-256", "P-521", "RSA"));

TEST_F(ClientTest, EachAttestationHasATeeKeyOfItsOwn) {
  ASSERT_TRUE(fetch().ok());
  const auto first = nlohmann::json::parse(kbs.last_attest_body)["runtime-data"]["tee-pubkey"];
  kbs.forget_sessions();
  ASSERT_TRUE(fetch().ok());
  EXPECT_NE(nlohmann::json::parse(kbs.last_attest_body)["runtime-data"]["tee-pubkey"], first);
}

TEST_F(ClientTest, SampleEvidenceNeedsNoPlatform) {
  settings.platform = "sample";
  platform = nullptr;
  kbs.takes_sample = true;
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(nlohmann::json::parse(kbs.last_auth_body)["tee"], "sample");
  EXPECT_EQ(metrics->reports, 0U);
}

// ----- where it may be called --------------------------------------------------------------------

TEST_F(ClientTest, AFetchInsideAScopeIsRefused) {
  client();
  const auto code = memory::run_protected([&]() -> Result<Errc> { return fetch().error().code; });
  EXPECT_EQ(code.value(), Errc::kWrongState);
}

TEST_F(ClientTest, AChildFetchesWithItsParentsAttestation) {
  ASSERT_TRUE(fetch().ok());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(outcome("default/tls/mail") == "the key of mail" ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(kbs.auths, 1);
  EXPECT_EQ(outcome("default/tls/mail"), "the key of mail");
}

TEST_F(ClientTest, ChildrenForkedInMidFetchAreNotStuck) {
  kbs.token_seconds = 0;  // every fetch goes all the way
  client();
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) static_cast<void>(fetch());
  });
  int good = 0;
  constexpr int kChildren = 20;
  for (int i = 0; i < kChildren; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(10);
      ::_exit(outcome("default/tls/mail") == "the key of mail" ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    good += status == 0 ? 1 : 0;
  }
  stop = true;
  busy.join();
  EXPECT_EQ(good, kChildren);
}

// ----- doctor ------------------------------------------------------------------------------------

TEST_F(ClientTest, AProbeTellsWhoAnswersAndWhoDoesNot) {
  settings.kbs.push_back(dead_url());
  const auto probes = client().probe();
  ASSERT_EQ(probes.size(), 2U);
  EXPECT_FALSE(probes[0].failure.has_value());
  EXPECT_EQ(probes[0].tls, "none");
  ASSERT_TRUE(probes[1].failure.has_value());
  EXPECT_EQ(probes[1].failure->code, Errc::kUnreachable);
  EXPECT_EQ(probes[1].failure->subject.text(), probes[1].endpoint);
  EXPECT_EQ(metrics->reports, 0U);
}

}  // namespace
}  // namespace vhsm::nitride
