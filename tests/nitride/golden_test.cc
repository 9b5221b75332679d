// SPDX-License-Identifier: Apache-2.0
//
// What goes over the wire, byte by byte: nonce, cookie and token are fixed here, and the TEE key's
// coordinates and what follows from them stand where they belong.
#include <sys/socket.h>

#include <fmt/format.h>

#include <charconv>
#include <mutex>

#include "jose/base64.h"
#include "nitride/protocol.h"
#include "tests/nitride/support.h"

namespace vhsm::nitride {
namespace {

constexpr const char* kNonce = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr const char* kCookie = "kbs-session-id=0123456789abcdef0123456789abcdef";
constexpr const char* kToken = "e30.eyJpYXQiOjEwMCwiZXhwIjo0MDB9.c2ln";

/// The length of a request's body.
std::size_t announced(const std::string& head) {
  constexpr std::string_view kField = "\r\nContent-Length: ";
  const std::size_t at = head.find(kField);
  if (at == std::string::npos) return 0;
  std::size_t length = 0;
  std::from_chars(head.data() + at + kField.size(), head.data() + head.size(), length);
  return length;
}

/// One request from a connection; empty at its end.
std::string receive(int descriptor) {
  std::string text;
  for (std::size_t wanted = 0; wanted == 0 || text.size() < wanted;) {
    char byte = 0;
    if (::recv(descriptor, &byte, 1, 0) != 1) return {};
    text += byte;
    if (wanted == 0 && text.ends_with("\r\n\r\n")) wanted = text.size() + announced(text);
  }
  return text;
}

/// Keeps the requests as they come, and answers by the book.
class Recorder {
 public:
  [[nodiscard]] std::string url() const { return server_.url(); }
  [[nodiscard]] std::string host() const { return url().substr(std::string("http://").size()); }
  [[nodiscard]] std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  [[nodiscard]] jose::EcPublicJwk tee_key() {
    const std::lock_guard lock(mutex_);
    return std::get<jose::EcPublicJwk>(*key_);
  }

 private:
  std::string answer_to(const std::string& request) {
    if (request.starts_with("POST /kbs/v0/auth ")) {
      return fmt::format(R"({{"nonce":"{}","extra-params":""}})", kNonce);
    }
    if (request.starts_with("POST /kbs/v0/attest ")) {
      const auto body = nlohmann::json::parse(request.substr(request.find("\r\n\r\n") + 4));
      key_ = jose::tee_jwk_from_json(body["runtime-data"]["tee-pubkey"]).value();
      return fmt::format(R"({{"token":"{}"}})", kToken);
    }
    return encrypted_to(*key_, "the key of www");
  }

  void serve(int descriptor) {
    for (std::string request; !(request = receive(descriptor)).empty();) {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      const std::string body = answer_to(request);
      const std::string answer = fmt::format(
          "HTTP/1.1 200 OK\r\nSet-Cookie: {}; Expires=Wed, 21 Oct 2099 07:28:00 GMT\r\n"
          "Content-Length: {}\r\n\r\n{}",
          kCookie, body.size(), body);
      ::send(descriptor, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }

  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::optional<jose::TeeJwk> key_;
  RawServer server_{[this](int descriptor) { serve(descriptor); }};
};

class GoldenTest : public NitrideTest {
 protected:
  GoldenTest() {
    settings.platform = "sample";
    settings.kbs = {kbs.url()};
    platform = nullptr;
  }

  std::string golden_post(const char* path, const std::string& cookie, const std::string& body) {
    return fmt::format("POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: vhsm/" VHSM_VERSION
                       "\r\nAccept: application/json\r\n{}Content-Type: application/json\r\n"
                       "Content-Length: {}\r\n\r\n{}",
                       path, kbs.host(), cookie, body.size(), body);
  }
  std::string golden_get(const char* path, const std::string& pass) {
    return fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: vhsm/" VHSM_VERSION
                       "\r\nAccept: application/json\r\n{}\r\n",
                       path, kbs.host(), pass);
  }
  static std::string cookie() { return fmt::format("Cookie: {}\r\n", kCookie); }

  Recorder kbs;
};

constexpr const char* kAuthBody =
    R"({"extra-params":{"supported-hash-algorithms":["sha256","sha384","sha512"]},)"
    R"("tee":"sample","version":"0.4.0"})";

std::string attest_body_for(const jose::EcPublicJwk& key) {
  const auto digest = runtime_digest(nullptr, {kNonce}, key).value();
  return fmt::format(R"({{"init-data":null,"runtime-data":{{"nonce":"{}","tee-pubkey":)"
                     R"({{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"{}","y":"{}"}}}},)"
                     R"("tee-evidence":{{"additional_evidence":"","primary_evidence":)"
                     R"({{"report_data":"{}","svn":"1"}}}}}})",
                     kNonce, key.x, key.y, jose::base64(digest));
}

TEST_F(GoldenTest, EachRequestIsTheProtocolsByteByByte) {
  EXPECT_EQ(outcome(), "the key of www");
  EXPECT_EQ(outcome("default/tls/mail"), "the key of www");
  EXPECT_THAT(kbs.requests(),
              ::testing::ElementsAre(
                  golden_post("/kbs/v0/auth", "", kAuthBody),
                  golden_post("/kbs/v0/attest", cookie(), attest_body_for(kbs.tee_key())),
                  golden_get("/kbs/v0/resource/default/tls/www", cookie()),
                  golden_get("/kbs/v0/resource/default/tls/mail", cookie())));
}

TEST_F(GoldenTest, APassportIsShownAsTheProtocolSays) {
  settings.attestation_service = kbs.url();
  EXPECT_EQ(outcome(), "the key of www");
  const auto requests = kbs.requests();
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(requests[2], golden_get("/kbs/v0/resource/default/tls/www",
                                    fmt::format("Authorization: Bearer {}\r\n", kToken)));
}

/// The worked vector: RFC 7518, appendix C's Bob.
TEST_F(GoldenTest, TheWorkedVectorsAttestationIsThatText) {
  const jose::EcPublicJwk bob{"P-256", "ECDH-ES+A256KW",
                              "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
                              "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"};
  const auto evidence = make_sample_attester()->prove(
      runtime_digest(nullptr, {kNonce}, bob).value(), TimePoint::max());
  const std::string body = attest_body({kNonce}, bob, evidence.value().evidence);
  EXPECT_EQ(body, attest_body_for(bob));
  EXPECT_THAT(body, ::testing::HasSubstr(
                        "1ZxcoTxV34ay/Ezpg66PJtAKEILzrPJtewd8SnomTkS0sfjM6XgBz7ogLjGX0FPv"));
}

}  // namespace
}  // namespace vhsm::nitride
