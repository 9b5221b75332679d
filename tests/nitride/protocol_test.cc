// SPDX-License-Identifier: Apache-2.0
//
// Messages and their meaning, without a network.
#include "nitride/protocol.h"

#include <fmt/format.h>

#include "base/breaker.h"
#include "jose/base64.h"
#include "nitride/attester.h"
#include "nitride/http.h"
#include "snp/evidence_json.h"
#include "tests/nitride/support.h"

namespace vhsm::nitride {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// RFC 7518, appendix C: Bob.
const jose::EcPublicJwk kBob{"P-256", "ECDH-ES+A256KW",
                             "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
                             "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"};
constexpr const char* kNonce = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

class ProtocolTest : public NitrideTest {};

TEST_F(ProtocolTest, TheAttestBodyIsExactlyTheProtocols) {
  const auto evidence = snp::to_json(snp::Evidence());
  EXPECT_EQ(attest_body({kNonce}, kBob, evidence),
            std::string(R"({"init-data":null,"runtime-data":{"nonce":")") + kNonce +
                R"(","tee-pubkey":{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC",)"
                R"("x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",)"
                R"("y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"}},)"
                R"("tee-evidence":{"additional_evidence":"","primary_evidence":)" +
                evidence.dump() + "}}");
}

/// Keeps what it was asked to attest.
class DataKeeper final : public snp::Platform {
 public:
  [[nodiscard]] snp::PlatformInfo info() const override { return {"fake", true, 0}; }
  Result<snp::Evidence> attest(const snp::ReportData& data, TimePoint /*deadline*/) override {
    seen = data;
    return snp::Evidence();
  }
  snp::ReportData seen{};
};

std::string hex_of(std::span<const std::uint8_t> bytes) {
  std::string hex;
  for (const unsigned byte : bytes) hex += fmt::format("{:02x}", byte);
  return hex;
}

constexpr const char* kWorkedDigest =
    "d59c5ca13c55df86b2fc4ce983ae8f26d00a1082f3acf26d7b077c4a7a264e44b4b1f8cce97801cfba202e3197d0"
    "53ef";

TEST_F(ProtocolTest, ReportDataIsThatOfTheWorkedVectorThenZeros) {
  const auto digest = runtime_digest(nullptr, {kNonce}, kBob);
  ASSERT_TRUE(digest.ok());
  EXPECT_EQ(hex_of(digest.value()), kWorkedDigest);
  const auto keeper = std::make_shared<DataKeeper>();
  ASSERT_TRUE(make_snp_attester(keeper, metrics)->prove(digest.value(), TimePoint::max()).ok());
  EXPECT_EQ(hex_of(keeper->seen), std::string(kWorkedDigest) + std::string(32, '0'));
  EXPECT_EQ(metrics->reports, 1U);
}

TEST_F(ProtocolTest, SampleEvidenceIsThatOfTheWorkedVector) {
  const auto sample = make_sample_attester();
  EXPECT_EQ(sample->tee(), "sample");
  const auto proof =
      sample->prove(runtime_digest(nullptr, {kNonce}, kBob).value(), TimePoint::max());
  EXPECT_EQ(proof.value().evidence.dump(),
            R"({"report_data":"1ZxcoTxV34ay/Ezpg66PJtAKEILzrPJtewd8SnomTkS0sfjM6XgBz7ogLjGX0FPv",)"
            R"("svn":"1"})");
}

TEST_F(ProtocolTest, TheChallengeChoosesTheHash) {
  const auto hash = [](const char* extra) {
    return parse_challenge(std::string(R"({"nonce":"n","extra-params":)") + extra + "}")
        .value()
        .hash;
  };
  EXPECT_EQ(hash(R"("")"), RuntimeHash::kSha384);
  EXPECT_EQ(hash("null"), RuntimeHash::kSha384);
  EXPECT_EQ(hash("{}"), RuntimeHash::kSha384);
  EXPECT_EQ(hash(R"({"selected-hash-algorithm":"SHA512"})"), RuntimeHash::kSha512);
  EXPECT_EQ(hash(R"({"selected-hash-algorithm":"sha256"})"), RuntimeHash::kSha256);
}

TEST_F(ProtocolTest, ATokenLivesByItsOwnClockFiveMinutesIfItDoesNotSay) {
  const auto life = [](const std::string& claims) {
    return parse_approval(R"({"token":"e30.)" + jose::base64url(claims) + R"(.c2ln"})")
        .value()
        .life;
  };
  EXPECT_EQ(life(R"({"iat":100,"exp":160})"), 60s);
  EXPECT_EQ(life(R"({"iat":100,"exp":10000})"), 9900s);
  EXPECT_EQ(life(R"({"iat":100,"exp":100000000})"), 24h);
  EXPECT_EQ(life(R"({"exp":160})"), 300s);
  EXPECT_EQ(life(R"({"iat":"x","exp":160})"), 300s);
  EXPECT_EQ(life(R"({"iat":-9223372036854775808,"exp":9223372036854775807})"), 300s);
}

struct Case {
  const char* name;
  Stage stage;
  unsigned status;
  const char* type;
  Errc code;
  bool session_ended;
};

class ClassifyTest : public ::testing::TestWithParam<Case> {};

TEST_P(ClassifyTest, TypeDecidesThenStatus) {
  const Case& it = GetParam();
  const auto body = std::string(R"({"type":"https://x/errors/)") + it.type + R"(","detail":"d"})";
  const Refusal refusal = classify(it.stage, {it.status, body, {}, false, {}});
  EXPECT_STREQ(reason(refusal.error.code), reason(it.code));
  EXPECT_EQ(refusal.session_ended, it.session_ended);
  EXPECT_EQ(refusal.detail, "d");
}

INSTANTIATE_TEST_SUITE_P(
    Answers, ClassifyTest,
    ::testing::Values(
        Case{"Refused", Stage::kAttest, 401, "AttestationError", Errc::kNotAttested, false},
        Case{"NoToken", Stage::kResource, 401, "TokenNotFound", Errc::kNotAttested, true},
        Case{"BadToken", Stage::kResource, 401, "TokenVerifierError", Errc::kNotAttested, true},
        Case{"Denied", Stage::kResource, 401, "PolicyDeny", Errc::kDenied, false},
        Case{"Missing", Stage::kResource, 401, "PluginInternalError", Errc::kMissing, false},
        Case{"NoPlugin", Stage::kResource, 404, "PluginNotFound", Errc::kMissing, false},
        Case{"Jwe", Stage::kResource, 401, "JweError", Errc::kVersion, false},
        Case{"OldVersion", Stage::kAuth, 401, "ProtocolVersion", Errc::kVersion, false},
        Case{"Unknown401", Stage::kResource, 401, "New", Errc::kNotAttested, true},
        Case{"Unknown403", Stage::kResource, 403, "New", Errc::kDenied, false},
        Case{"Unknown404", Stage::kResource, 404, "New", Errc::kMissing, false},
        Case{"Unknown502", Stage::kResource, 502, "New", Errc::kUnreachable, false},
        Case{"Auth404", Stage::kAuth, 404, "New", Errc::kUnreachable, false},
        Case{"Auth400", Stage::kAuth, 400, "New", Errc::kVersion, false}),
    [](const auto& test) { return test.param.name; });

// ----- HTTP --------------------------------------------------------------------------------------

TEST_F(ProtocolTest, ARequestIsPlainHttp11) {
  const auto text = serialize({true, "/kbs/v0/auth", "kbs:8080", "a=1", "{}", {}});
  EXPECT_EQ(text.value(),
            "POST /kbs/v0/auth HTTP/1.1\r\nHost: kbs:8080\r\nUser-Agent: vhsm/" VHSM_VERSION
            "\r\nAccept: application/json\r\nCookie: a=1\r\nContent-Type: application/json\r\n"
            "Content-Length: 2\r\n\r\n{}");
}

TEST_F(ProtocolTest, AnAnswerIsTheSameInAnyPieces) {
  const std::string raw =
      "HTTP/1.1 401 Unauthorized\r\nSet-Cookie: a=1; Path=/\r\nTransfer-Encoding: chunked\r\n"
      "set-cookie: b=2\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: 1\r\n\r\n";
  for (std::size_t piece = 1; piece <= raw.size(); ++piece) {
    HttpReader reader;
    bool done = false;
    for (std::size_t at = 0; at < raw.size(); at += piece) {
      EXPECT_FALSE(done);
      done = reader.feed(std::string_view(raw).substr(at, piece)).value();
    }
    ASSERT_TRUE(done) << piece;
    const HttpAnswer answer = reader.take();
    EXPECT_EQ(answer.status, 401U);
    EXPECT_EQ(answer.body, "abcdefg");
    EXPECT_TRUE(answer.keeps_alive);
    EXPECT_THAT(answer.set_cookies, ElementsAre("a=1; Path=/", "b=2"));
  }
}

TEST_F(ProtocolTest, AnAnnouncedLengthIsJudgedBeforeMemoryIsTaken) {
  for (const char* length : {"4194305", "99999999999", "211111111111111119"}) {
    HttpReader reader;
    const auto fed =
        reader.feed(std::string("HTTP/1.1 200 OK\r\nContent-Length: ") + length + "\r\n\r\nx");
    ASSERT_FALSE(fed.ok()) << length;
    EXPECT_THAT(fed.error().what.c_str(), HasSubstr("larger than")) << length;
  }
}

TEST_F(ProtocolTest, BytesAfterAnAnswerEndTheConnection) {
  HttpReader reader;
  ASSERT_TRUE(reader.feed("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200").value());
  EXPECT_FALSE(reader.take().keeps_alive);
}

TEST_F(ProtocolTest, ACookieThatCouldBreakAHeaderIsDropped) {
  CookieJar jar;
  jar.take("good=1; Path=/");
  jar.take("bad=a\r\nX: y");
  jar.take("also bad=1");
  jar.take("noequals");
  jar.take("=1");
  jar.take("long=" + std::string(5000, 'x'));
  jar.take("good=2");
  EXPECT_EQ(jar.header(), "good=2");
  for (int i = 0; i < 100; ++i) jar.take("n" + std::to_string(i) + "=1");
  EXPECT_LT(jar.header().size(), 100U);
}

// ----- breaker -----------------------------------------------------------------------------------

TEST_F(ProtocolTest, ABreakerDoublesItsWaitUpToFiveSeconds) {
  Breaker breaker;
  TimePoint now = Clock::now();
  EXPECT_FALSE(breaker.refusal(now).has_value());
  std::chrono::milliseconds wait = 1s;
  for (int i = 0; i < 8; ++i) {
    breaker.failed(fail(Errc::kUnreachable, "dead"), now, 255);
    EXPECT_TRUE(breaker.refusal(now + wait - 1ms).has_value()) << i;
    EXPECT_FALSE(breaker.refusal(now + wait).has_value()) << i;
    wait = std::min<std::chrono::milliseconds>(wait * 2, 5s);
  }
  breaker.succeeded();
  EXPECT_FALSE(breaker.refusal(now).has_value());
}

TEST_F(ProtocolTest, ABreakersJitterSpreadsItsWaitDownToAQuarterOfASecond) {
  for (const int jitter : {0, 51, 255}) {
    Breaker breaker;
    const TimePoint now = Clock::now();
    breaker.failed(fail(Errc::kUnreachable, "dead"), now, static_cast<std::uint8_t>(jitter));
    EXPECT_EQ(breaker.until(), now + 250ms + 750ms * jitter / 255);
  }
}

}  // namespace
}  // namespace vhsm::nitride
