// SPDX-License-Identifier: Apache-2.0
//
// Servers that lie, stall, drip or break off: a typed error, in bounded time, and no signal.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>

#include "tests/nitride/support.h"

namespace vhsm::nitride {
namespace {

using ::testing::HasSubstr;

class HostileTest : public NitrideTest {
 protected:
  HostileTest() {
    settings.connect_timeout = 400ms;
    settings.fetch_timeout = 800ms;
  }
  std::string outcome_of(const std::string& url) {
    settings.kbs = {url};
    return outcome();
  }
  /// The outcome of an /auth that answers `raw`.
  std::string outcome_of_raw(const std::string& raw) {
    const RawServer server(answering(raw));
    return outcome_of(server.url());
  }
};

constexpr auto kTolerance = 400ms;

/// Reads until the peer goes.
void swallow(int descriptor) {
  std::array<char, 4096> buffer;
  while (::recv(descriptor, buffer.data(), buffer.size(), 0) > 0) continue;
}

TEST_F(HostileTest, AServerThatNeverAnswersCostsTheFetchTimeout) {
  const RawServer server(swallow);
  EXPECT_LT(duration_of([&] { EXPECT_EQ(outcome_of(server.url()), "unreachable"); }),
            settings.fetch_timeout + kTolerance);
}

TEST_F(HostileTest, AServerThatNeverShakesHandsCostsTheConnectTimeout) {
  const RawServer server(swallow);
  EXPECT_LT(duration_of([&] { EXPECT_EQ(outcome_of(server.url("https")), "unreachable"); }),
            settings.connect_timeout + kTolerance);
}

TEST_F(HostileTest, TheCallersDeadlineHolds) {
  const RawServer server(swallow);
  settings.kbs = {server.url()};
  client();
  EXPECT_LT(duration_of(
                [&] { EXPECT_FALSE(client().fetch(name_of("a/b/c"), Clock::now() + 100ms).ok()); }),
            100ms + kTolerance);
}

TEST_F(HostileTest, AServerThatDripsBytesWinsNoTime) {
  const RawServer server([](int descriptor) {
    std::array<char, 4096> buffer;
    ::recv(descriptor, buffer.data(), buffer.size(), 0);
    const std::string head = "HTTP/1.1 200 OK\r\nX: ";
    ::send(descriptor, head.data(), head.size(), MSG_NOSIGNAL);
    while (::send(descriptor, "x", 1, MSG_NOSIGNAL) == 1) std::this_thread::sleep_for(20ms);
  });
  EXPECT_LT(duration_of([&] { EXPECT_EQ(outcome_of(server.url()), "unreachable"); }),
            settings.fetch_timeout + kTolerance);
}

TEST_F(HostileTest, AServerThatClosesAtOnceRaisesNoSignal) {
  static std::atomic<int> signals{0};
  const auto old = ::signal(SIGPIPE, [](int) { ++signals; });
  const RawServer server([](int descriptor) {
    const linger reset{1, 0};
    ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  });
  EXPECT_EQ(outcome_of(server.url()), "unreachable");
  for (int i = 0; i < 20; ++i) static_cast<void>(client().probe());
  ::signal(SIGPIPE, old);
  EXPECT_EQ(signals, 0);
}

/// Evidence that does not fit in a socket's buffers.
class LargePlatform final : public snp::Platform {
 public:
  [[nodiscard]] snp::PlatformInfo info() const override { return {"large", true, 0}; }
  Result<snp::Evidence> attest(const snp::ReportData& /*data*/, TimePoint /*deadline*/) override {
    snp::Evidence evidence;
    const std::vector<std::uint8_t> large(std::size_t{2} << 20);
    evidence.certificates.push_back({snp::CertificateKind::kVcek, {}, large});
    return evidence;
  }
};

TEST_F(HostileTest, APeerThatDiesInTheMiddleOfAWriteRaisesNoSignal) {
  static std::atomic<int> signals{0};
  const auto old = ::signal(SIGPIPE, [](int) { ++signals; });
  std::atomic<int> deaths{0};
  const RawServer server([&](int descriptor) {
    std::array<char, 4096> buffer;
    if (::recv(descriptor, buffer.data(), buffer.size(), 0) <= 0) return;
    if (deaths == 0) {  // the next connection repeats the attestation
      const std::string challenge =
          "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n"
          R"({"nonce":"x","extra-params":""})";
      ::send(descriptor, challenge.data(), challenge.size(), MSG_NOSIGNAL);
      if (::recv(descriptor, buffer.data(), buffer.size(), 0) <= 0) return;
    }
    ++deaths;
    std::this_thread::sleep_for(50ms);  // it is still writing
    const linger reset{1, 0};
    ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  });
  settings.kbs = {server.url()};
  const auto client = Client::create(settings, std::make_shared<LargePlatform>(), metrics,
                                     std::make_shared<Records>())
                          .value();
  const auto secret = client->fetch(name_of("default/tls/www"), Clock::now() + 5s);
  ::signal(SIGPIPE, old);
  EXPECT_GE(deaths, 1);
  ASSERT_FALSE(secret.ok());
  EXPECT_EQ(secret.error().code, Errc::kUnreachable);
  EXPECT_EQ(signals, 0);
}

TEST_F(HostileTest, HalfAnAnswerIsNoAnswer) {
  EXPECT_EQ(outcome_of_raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"nonce\":"),
            "unreachable");
  EXPECT_THAT(folder.read("log"), HasSubstr("before its answer was complete"));
}

TEST_F(HostileTest, AnEndlessHeaderIsCutOff) {
  EXPECT_EQ(outcome_of_raw("HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x')), "forged");
}

TEST_F(HostileTest, AGiantBodyIsCutOffWhenAnnounced) {
  EXPECT_EQ(outcome_of_raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), "forged");
}

TEST_F(HostileTest, AGiantChunkedBodyIsCutOff) {
  std::string body;
  for (int i = 0; i < 5; ++i) body += "100000\r\n" + std::string(1 << 20, 'x') + "\r\n";
  EXPECT_EQ(outcome_of_raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body),
            "forged");
}

TEST_F(HostileTest, AGiantBodyWithoutALengthIsCutOff) {
  EXPECT_EQ(
      outcome_of_raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(5 << 20, 'x')),
      "forged");
}

TEST_F(HostileTest, WhatIsNotHttpIsForged) {
  EXPECT_EQ(outcome_of_raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "forged");
}

// ----- lies --------------------------------------------------------------------------------------

class LiarTest : public NitrideTest {
 protected:
  LiarTest() { settings.kbs = {kbs.url()}; }
  static FakeKbs::Hook saying(const std::string& body) {
    return [body](const httplib::Request& /*request*/, httplib::Response& response) {
      response.set_content(body, "application/json");
      return true;
    };
  }
  FakeKbs kbs;
};

TEST_F(LiarTest, AChallengeThatIsNoneIsForged) {
  for (const char* body : {"", "nonsense", "[]", "{}", R"({"nonce":5})", R"({"nonce":""})",
                           R"({"nonce":"x")", "{\"nonce\":\"\xff\"}"}) {
    kbs.on_auth = saying(body);
    EXPECT_EQ(outcome(), "forged") << body;
  }
}

TEST_F(LiarTest, AnAttestationWithoutATokenIsForged) {
  for (const char* body :
       {"", "{}", R"({"token":7})", R"({"token":"x"})", R"({"token":"a.b.c"})"}) {
    kbs.on_attest = saying(body);
    EXPECT_EQ(outcome(), "forged") << body;
  }
}

TEST_F(LiarTest, AResourceThatIsNoJweIsForged) {
  for (const char* body : {"", "{}", "-----BEGIN PRIVATE KEY-----", R"({"protected":"e30"})"}) {
    kbs.on_resource = saying(body);
    EXPECT_EQ(outcome(), "forged") << body;
  }
}

class ForgedMemberTest : public LiarTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(ForgedMemberTest, IsNoticed) {
  // The right answer for this session, asked by hand, with one member changed.
  kbs.on_resource = [&](const httplib::Request& /*request*/, httplib::Response& response) {
    const auto body = nlohmann::json::parse(kbs.last_attest_body);
    const auto key = jose::jwk_from_json(body["runtime-data"]["tee-pubkey"]);
    auto jwe = nlohmann::json::parse(encrypted_to(key.value(), "the key of www"));
    std::string member = jwe[GetParam()];
    member[2] = member[2] == 'A' ? 'B' : 'A';
    jwe[GetParam()] = member;
    response.set_content(jwe.dump(), "application/json");
    return true;
  };
  EXPECT_EQ(outcome(), "forged");
}

INSTANTIATE_TEST_SUITE_P(Members, ForgedMemberTest,
                         ::testing::Values("protected", "encrypted_key", "iv", "ciphertext", "tag"),
                         [](const auto& test) { return std::string(test.param); });

/// What a stock Trustee says to too many requests, or a proxy before it.
TEST_F(LiarTest, TooManyRequestsIsNoVerdict) {
  kbs.on_resource = [](const auto&, httplib::Response& response) {
    response.status = 429;
    response.set_header("Retry-After", "3600");
    return true;
  };
  EXPECT_EQ(outcome(), "unreachable");
}

TEST_F(LiarTest, ACompressedAnswerIsNotUnpacked) {
  kbs.on_auth = [](const auto&, httplib::Response& response) {
    response.set_header("Content-Encoding", "gzip");
    response.set_content(std::string("\x1f\x8b\x08\0\0\0\0\0", 8) + std::string(1000, 'z'),
                         "application/json");
    return true;
  };
  EXPECT_EQ(outcome(), "forged");
}

TEST_F(LiarTest, AnHtmlPageIsNoChallengeNoTokenAndNoResource) {
  const auto page = saying("<html><body>Welcome to the hotel's WLAN</body></html>");
  kbs.on_resource = page;
  EXPECT_EQ(outcome(), "forged");
  kbs.on_attest = page;
  kbs.forget_sessions();
  EXPECT_EQ(outcome(), "forged");
  kbs.on_auth = page;
  EXPECT_EQ(outcome(), "forged");
}

TEST_F(LiarTest, ATokenThatCouldBreakAHeaderIsForged) {
  kbs.on_attest = saying(R"({"token":"e30.e30.x\r\nX-Evil: 1"})");
  EXPECT_EQ(outcome(), "forged");
}

TEST_F(LiarTest, NothingIsKeptOfARefusedAttestation) {
  kbs.on_attest = refuse(401, "AttestationError");
  EXPECT_EQ(outcome(), "not attested");
  kbs.on_attest = nullptr;
  kbs.hold("default/tls/www", "the key of www");
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(kbs.auths, 2) << "with a new nonce";
}

TEST_F(LiarTest, AResourceForAnotherKeyIsForged) {
  const auto other = jose::TeeKey::generate();
  kbs.on_resource = saying(encrypted_to(other.value().public_jwk(), "the key of www"));
  EXPECT_EQ(outcome(), "forged");
}

TEST_F(LiarTest, AfterAForgedAnswerTheVmAttestsAnew) {
  kbs.on_resource = saying("{}");
  EXPECT_EQ(outcome(), "forged");
  kbs.on_resource = nullptr;
  kbs.hold("default/tls/www", "the key of www");
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(metrics->reports, 2U);
}

/// A session that a resource's answer slips in would be one that its giver can watch.
TEST_F(LiarTest, AResourcesCookieIsNotTaken) {
  kbs.hold("default/tls/www", "the key of www");
  EXPECT_EQ(outcome(), "the key of www");
  const std::string cookie = kbs.last_resource_cookie;
  kbs.on_resource = [](const auto&, httplib::Response& response) {
    response.set_header("Set-Cookie", "kbs-session-id=theirs");
    response.status = 404;
    return true;
  };
  EXPECT_EQ(outcome(), "missing");
  kbs.on_resource = nullptr;
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(kbs.last_resource_cookie, cookie);
}

TEST_F(LiarTest, AChunkedAnswerIsRead) {
  kbs.on_auth = [](const httplib::Request& /*request*/, httplib::Response& response) {
    response.set_chunked_content_provider(
        "application/json", [](std::size_t, httplib::DataSink& sink) {
          for (const char* piece : {"{\"nonce\":", "\"x\",", "\"extra-params\":\"\"}"}) {
            sink.write(piece, std::string_view(piece).size());
          }
          sink.done();
          return true;
        });
    return true;
  };
  EXPECT_EQ(outcome(), "not attested") << "read, and refused because nobody knows this nonce";
  EXPECT_EQ(kbs.attests, 1);
}

// ----- several endpoints -------------------------------------------------------------------------

class FailoverTest : public NitrideTest {
 protected:
  FailoverTest() { second.hold("default/tls/www", "the key of www"); }
  FakeKbs second;
};

TEST_F(FailoverTest, ADeadEndpointIsPassedOver) {
  settings.kbs = {dead_url(), second.url()};
  EXPECT_EQ(outcome(), "the key of www");
}

TEST_F(FailoverTest, AStallingEndpointGetsItsShareOnly) {
  const RawServer first(swallow);
  settings.fetch_timeout = 1000ms;
  settings.kbs = {first.url(), second.url()};
  EXPECT_EQ(outcome(), "the key of www");
}

TEST_F(FailoverTest, AForgerIsPassedOver) {
  const RawServer first(answering("nonsense\r\n\r\n"));
  settings.kbs = {first.url(), second.url()};
  EXPECT_EQ(outcome(), "the key of www");
}

TEST_F(FailoverTest, ACookieStaysWithTheEndpointThatGaveIt) {
  FakeKbs first;
  first.extra_set_cookie = "spy=1; Domain=127.0.0.1; Path=/";
  first.on_resource = refuse(500, "x");
  second.on_auth = [](const httplib::Request& request, auto&) {
    EXPECT_FALSE(request.has_header("Cookie"));
    return false;
  };
  settings.kbs = {first.url(), second.url()};
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(second.last_resource_cookie.find("spy"), std::string::npos);
}

TEST_F(FailoverTest, AMissingKeyIsNotLookedForElsewhere) {
  FakeKbs first;
  settings.kbs = {first.url(), second.url()};
  EXPECT_EQ(outcome(), "missing");
  EXPECT_EQ(second.auths, 0);
}

TEST_F(FailoverTest, TheFirstThatAnsweredIsReported) {
  FakeKbs refusing;
  refusing.on_attest = refuse(401, "AttestationError");
  settings.kbs = {dead_url(), refusing.url(), dead_url()};
  EXPECT_EQ(outcome(), "not attested");
}

TEST_F(FailoverTest, ADeadEndpointIsNotTriedAgainAtOnce) {
  const RawServer first([](int) {});
  settings.kbs = {first.url()};
  EXPECT_EQ(outcome(), "unreachable");
  const int tries = first.connections();
  EXPECT_GE(tries, 1) << "the first try is never held back";
  EXPECT_LT(duration_of([&] { EXPECT_EQ(outcome(), "unreachable"); }), 100ms);
  EXPECT_EQ(first.connections(), tries);
}

TEST_F(FailoverTest, ADeadEndpointIsTriedAgainAfterAWhile) {
  FakeKbs first;
  std::atomic<bool> down{true};
  first.hold("default/tls/www", "the key of www");
  first.on_auth = [&](const auto&, httplib::Response& response) {
    if (down) response.status = 500;
    return down.load();
  };
  settings.kbs = {first.url()};
  EXPECT_EQ(outcome(), "unreachable");
  down = false;
  EXPECT_EQ(outcome(), "unreachable");
  std::this_thread::sleep_for(1300ms);
  EXPECT_EQ(outcome(), "the key of www");
}

TEST_F(FailoverTest, ANameThatDoesNotResolveIsUnreachable) {
  settings.kbs_insecure = true;
  settings.kbs = {"http://does-not-exist.invalid:8080"};
  EXPECT_EQ(outcome(), "unreachable");
}

}  // namespace
}  // namespace vhsm::nitride
