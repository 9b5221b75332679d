// SPDX-License-Identifier: Apache-2.0
//
// Every wrong answer at every stage: it is told by its right name, followed nowhere, and nothing of
// that exchange is used again.
#include <utility>

#include "jose/base64.h"
#include "tests/nitride/support.h"

namespace vhsm::nitride {
namespace {

constexpr std::string_view kSecret = "the key of www";

/// Who takes part: our KBS, and a stranger's to which it may point.
struct Servers {
  FakeKbs kbs;
  FakeKbs elsewhere;
};
using Answer = std::function<void(Servers&, httplib::Response&)>;

struct Fault {
  std::string name;
  FakeKbs::Hook FakeKbs::*stage;
  const char* outcome;
  Answer answer;
};
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

// ----- answers -----------------------------------------------------------------------------------

Answer status(int code) {
  return [code](Servers&, httplib::Response& response) { response.status = code; };
}

Answer variant(int code, const char* name, const char* detail = "x") {
  return [=](Servers&, httplib::Response& response) { answer_error(response, code, name, detail); };
}

Answer says(const std::string& body, const char* type = "application/json") {
  return [=](Servers&, httplib::Response& response) { response.set_content(body, type); };
}

Answer redirects(int code) {
  return [code](Servers& servers, httplib::Response& response) {
    response.set_redirect(servers.elsewhere.url() + "/kbs/v0/auth", code);
  };
}

/// Zeros that would unpack to a thousand times as much.
void gzip_bomb(Servers&, httplib::Response& response) {
  response.set_header("Content-Encoding", "gzip");
  response.set_content(std::string("\x1f\x8b\x08\0\0\0\0\0\x02\x03", 10) + std::string(8192, '\0'),
                       "application/json");
}

constexpr std::size_t kHundredMegabytes = 100'000'000;

void announced_giant(Servers&, httplib::Response& response) {
  response.set_content_provider(kHundredMegabytes, "application/json",
                                [](std::size_t, std::size_t length, httplib::DataSink& sink) {
                                  const std::string part(std::min<std::size_t>(length, 1U << 20),
                                                         ' ');
                                  return sink.write(part.data(), part.size());
                                });
}

void chunked_giant(Servers&, httplib::Response& response) {
  response.set_chunked_content_provider("application/json",
                                        [](std::size_t offset, httplib::DataSink& sink) {
                                          const std::string part(1U << 20, ' ');
                                          if (offset >= kHundredMegabytes) sink.done();
                                          return sink.write(part.data(), part.size());
                                        });
}

jose::TeeJwk session_key(const Servers& servers) {
  const auto body = nlohmann::json::parse(servers.kbs.last_attest_body);
  return jose::tee_jwk_from_json(body["runtime-data"]["tee-pubkey"]).value();
}

/// The right answer with its header changed by a JSON merge patch.
Answer jwe_with_header(const char* patch) {
  return [patch](Servers& servers, httplib::Response& response) {
    auto jwe = nlohmann::json::parse(encrypted_to(session_key(servers), std::string(kSecret)));
    const auto text = jose::from_base64url(jwe["protected"].get<std::string>()).value();
    auto header = nlohmann::json::parse(text.begin(), text.end());
    header.merge_patch(nlohmann::json::parse(patch));
    jwe["protected"] = jose::base64url(header.dump());
    response.set_content(jwe.dump(), "application/json");
  };
}

void truncated_jwe(Servers& servers, httplib::Response& response) {
  const std::string jwe = encrypted_to(session_key(servers), std::string(kSecret));
  response.set_content(jwe.substr(0, jwe.size() / 2), "application/json");
}

/// The TEE key is one that the answerer has made.
void swapped_key(Servers&, httplib::Response& response) {
  const auto other = jose::TeeKey::generate().value();
  response.set_content(encrypted_to(other.public_jwk(), std::string(kSecret)), "application/json");
}

// ----- the table ---------------------------------------------------------------------------------

constexpr const char* kPage = "<html><body>Welcome to the hotel's WLAN</body></html>";
constexpr const char* kMismatch =
    "KBS Client Protocol Version Mismatch: expect =0.2.0 while the request is 0.4.0";
constexpr auto kAuth = &FakeKbs::on_auth;
constexpr auto kAttest = &FakeKbs::on_attest;
constexpr auto kResource = &FakeKbs::on_resource;

/// What may come at each stage.
std::vector<Fault> everywhere() {
  struct Stage {
    std::string name;
    FakeKbs::Hook FakeKbs::*hook;
  };
  std::vector<Fault> faults;
  for (const Stage& at : {Stage{"Auth", kAuth}, {"Attest", kAttest}, {"Resource", kResource}}) {
    const std::vector<Fault> same{
        {"429", at.hook, "unreachable", status(429)},
        {"500", at.hook, "unreachable", status(500)},
        {"502", at.hook, "unreachable", status(502)},
        {"503", at.hook, "unreachable", status(503)},
        {"301", at.hook, "unreachable", redirects(301)},
        {"302", at.hook, "unreachable", redirects(302)},
        {"307", at.hook, "unreachable", redirects(307)},
        {"308", at.hook, "unreachable", redirects(308)},
        {"Html", at.hook, "forged", says(kPage, "text/html")},
        {"GzipBomb", at.hook, "forged", gzip_bomb},
        {"HundredMegabytes", at.hook, "forged", announced_giant},
        {"HundredMegabytesInChunks", at.hook, "forged", chunked_giant},
        {"VersionMismatch", at.hook, "version", variant(401, "AttestationError", kMismatch)}};
    for (Fault fault : same) {
      fault.name.insert(0, at.name + "_");
      faults.push_back(std::move(fault));
    }
  }
  return faults;
}

std::vector<Fault> somewhere() {
  return {{"Auth_401", kAuth, "not attested", variant(401, "AttestationError")},
          {"Auth_403", kAuth, "not attested", status(403)},
          {"Auth_404", kAuth, "unreachable", status(404)},
          {"Auth_NoNonce", kAuth, "forged", says("{}")},
          {"Auth_OtherHash", kAuth, "version",
           says(R"({"nonce":"x","extra-params":{"selected-hash-algorithm":"sm3"}})")},
          {"Attest_401", kAttest, "not attested", variant(401, "AttestationError")},
          {"Attest_403", kAttest, "not attested", status(403)},
          {"Attest_404", kAttest, "unreachable", status(404)},
          {"Attest_NoToken", kAttest, "forged", says("{}")},
          {"Attest_NoJwt", kAttest, "forged", says(R"({"token":"x"})")},
          {"Resource_ExpiredToken", kResource, "not attested", variant(401, "TokenVerifierError")},
          {"Resource_ForeignToken", kResource, "not attested", variant(401, "TokenNotFound")},
          {"Resource_401", kResource, "not attested", status(401)},
          {"Resource_403", kResource, "denied", status(403)},
          {"Resource_PolicyDeny", kResource, "denied", variant(401, "PolicyDeny")},
          {"Resource_404", kResource, "missing", status(404)},
          {"Resource_JweError", kResource, "version", variant(401, "JweError")},
          {"Resource_AlgNone", kResource, "forged", jwe_with_header(R"({"alg":"none"})")},
          {"Resource_Rsa1_5", kResource, "forged", jwe_with_header(R"({"alg":"RSA1_5"})")},
          {"Resource_OtherCipher", kResource, "forged", jwe_with_header(R"({"enc":"A128GCM"})")},
          {"Resource_PointOffTheCurve", kResource, "forged",
           jwe_with_header(R"({"epk":{"y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}})")},
          {"Resource_OtherHeader", kResource, "forged", jwe_with_header(R"({"kid":"x"})")},
          {"Resource_Truncated", kResource, "forged", truncated_jwe},
          {"Resource_SwappedKey", kResource, "forged", swapped_key}};
}

class RefusedTest : public NitrideTest, public ::testing::WithParamInterface<Fault> {
 protected:
  RefusedTest() {
    settings.kbs = {servers.kbs.url()};
    servers.kbs.hold("default/tls/www", std::string(kSecret));
  }
  /// An outage is over when its breaker closes.
  bool serves_again() {
    const auto deadline = Clock::now() + 8s;
    while (outcome() != kSecret) {
      if (Clock::now() > deadline) return false;
      std::this_thread::sleep_for(20ms);
    }
    return true;
  }
  Servers servers;
};

TEST_P(RefusedTest, AnswerIsNamedAndNothingOfItsExchangeIsUsedAgain) {
  FakeKbs& kbs = servers.kbs;
  kbs.*GetParam().stage = [this](const auto&, httplib::Response& response) {
    GetParam().answer(servers, response);
    return true;
  };
  EXPECT_EQ(outcome(), GetParam().outcome);
  const int nonces = kbs.auths;
  const int requests = kbs.resources;
  const std::string shown = kbs.last_attest_body;
  kbs.*GetParam().stage = nullptr;
  EXPECT_TRUE(serves_again());
  EXPECT_GT(kbs.resources, requests) << "the secret is asked for";
  const bool is_void = GetParam().stage != kResource || GetParam().outcome == std::string("forged");
  if (is_void) {
    EXPECT_GT(kbs.auths, nonces) << "with another nonce";
    EXPECT_NE(kbs.last_attest_body, shown) << "and another TEE key";
  }
  EXPECT_EQ(servers.elsewhere.auths + servers.elsewhere.attests + servers.elsewhere.resources, 0);
}

const auto kName = [](const auto& test) { return test.param.name; };
INSTANTIATE_TEST_SUITE_P(Everywhere, RefusedTest, ::testing::ValuesIn(everywhere()), kName);
INSTANTIATE_TEST_SUITE_P(Somewhere, RefusedTest, ::testing::ValuesIn(somewhere()), kName);

}  // namespace
}  // namespace vhsm::nitride
