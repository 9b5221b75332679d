// SPDX-License-Identifier: Apache-2.0
//
// What the tests of Nitride need: certificates made on the spot, a platform that signs nothing, a
// scripted KBS over HTTP or HTTPS, and raw servers that misbehave below HTTP.
#pragma once

#include <httplib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/handle.h"
#include "base/metrics.h"
#include "base/settings.h"
#include "jose/jwk.h"
#include "keystore/key_name.h"
#include "nitride/client.h"
#include "snp/platform.h"
#include "tests/base/temp_dir.h"

namespace vhsm::nitride {

using namespace std::chrono_literals;

/// A certificate and its key.
struct Identity {
  ossl::X509Cert certificate;
  ossl::PKey key;
  [[nodiscard]] std::string certificate_pem() const;
  [[nodiscard]] std::string key_pem() const;
  [[nodiscard]] std::string pin() const;  ///< SHA-256 of the SubjectPublicKeyInfo, hex
};

Identity make_ca(const char* name);
/// @param names      subjectAltName, e.g. "DNS:localhost,IP:127.0.0.1"
/// @param days_left  negative: expired
/// @param days_old   negative: valid from a later day on
Identity make_leaf(const Identity& ca, const std::string& names, int days_left = 30,
                   int days_old = 60);

/// Gives reports that carry the data they were asked for and no signature.
class FakePlatform final : public snp::Platform {
 public:
  [[nodiscard]] snp::PlatformInfo info() const override { return {"fake", true, 0}; }
  Result<snp::Evidence> attest(const snp::ReportData& data, TimePoint deadline) override;
  std::atomic<bool> broken{false};
};

/// A KBS of protocol 0.4.0 that answers by the book unless a hook answers first.
class FakeKbs {
 public:
  using Hook = std::function<bool(const httplib::Request&, httplib::Response&)>;

  FakeKbs();  ///< plain http
  explicit FakeKbs(const Identity& server, X509_STORE* client_roots = nullptr);
  FakeKbs(const FakeKbs&) = delete;
  FakeKbs& operator=(const FakeKbs&) = delete;
  ~FakeKbs();

  [[nodiscard]] std::string url(const std::string& host = "127.0.0.1") const;
  void hold(const std::string& path, const std::string& plaintext) { resources_[path] = plaintext; }
  /// From now on takes `service`'s tokens. It must outlive this one.
  void trust(FakeKbs& service) { trusted_ = &service; }
  /// Ends all sessions, as a restarted KBS does.
  void forget_sessions();

  Hook on_auth;
  Hook on_attest;
  Hook on_resource;
  std::atomic<int> auths{0};
  std::atomic<int> attests{0};
  std::atomic<int> resources{0};
  std::string last_auth_body;
  std::string last_attest_body;
  std::string last_resource_cookie;
  std::string last_agent;
  std::string last_authorization;  ///< with a resource
  bool takes_sample = false;       ///< evidence of TEE "sample"
  std::string extra_set_cookie;    ///< a second Set-Cookie with /auth
  std::int64_t token_seconds = 300;
  std::int64_t token_issued = 1700000000;  ///< by its service's clock

 private:
  struct Session {
    std::string nonce;
    std::optional<jose::TeeJwk> key;
  };
  void start();
  void auth(const httplib::Request& request, httplib::Response& response);
  void attest(const httplib::Request& request, httplib::Response& response);
  void resource(const httplib::Request& request, httplib::Response& response);
  Session* session_of(const httplib::Request& request);
  std::optional<jose::TeeJwk> key_of(const httplib::Request& request);

  std::unique_ptr<httplib::Server> server_;
  bool tls_ = false;
  int port_ = 0;
  std::mutex mutex_;
  std::map<std::string, Session> sessions_;
  std::map<std::string, jose::TeeJwk> tokens_;
  FakeKbs* trusted_ = nullptr;
  std::map<std::string, std::string> resources_;
  int next_session_ = 0;
  std::thread thread_;
};

/// A JWE for `key`.
std::string encrypted_to(const jose::TeeJwk& key, const std::string& plaintext);

/// {"type":".../Variant","detail":"..."}
void answer_error(httplib::Response& response, int status, const std::string& variant,
                  const std::string& detail);
FakeKbs::Hook refuse(int status, const std::string& variant, const std::string& detail = "x");

/// Listens on 127.0.0.1 and hands each connection to `behave`, one at a time.
class RawServer {
 public:
  using Behaviour = std::function<void(int descriptor)>;
  explicit RawServer(Behaviour behave);
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;
  ~RawServer();
  [[nodiscard]] std::string url(const char* scheme = "http") const;
  [[nodiscard]] int connections() const { return connections_; }
  /// Set when the server is about to end: a behaviour that waits looks at it.
  [[nodiscard]] bool ending() const { return ending_; }

 private:
  void serve(const Behaviour& behave);
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

/// Reads a request's head, and sends `answer`.
RawServer::Behaviour answering(std::string answer);

/// A port at which nobody listens.
std::string dead_url();

class NitrideTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  NitrideTest();

  /// Made at first use, from `settings`, which a test changes before.
  Client& client();
  Result<SecretBytes> fetch(const char* name = "default/tls/www");
  /// The fetched text, or the error's reason.
  std::string outcome(const char* name = "default/tls/www");

  test::TempDir folder;
  Settings settings;
  std::shared_ptr<FakePlatform> platform = std::make_shared<FakePlatform>();
  std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>();

 private:
  std::shared_ptr<Client> client_;
};

/// The first attestation, held up in a KBS.
class HeldAttestation {
 public:
  explicit HeldAttestation(FakeKbs& kbs) {
    kbs.on_auth = [this](const auto&, auto&) {
      reached_.count_down();
      goes_on_.wait();
      return false;
    };
  }
  void wait_for_it() const { reached_.wait(); }
  void let_go() { goes_on_.count_down(); }

 private:
  std::latch reached_{1};
  std::latch goes_on_{1};
};

keystore::KeyName name_of(const char* path);
std::string text_of(const SecretBytes& secret);

/// How long `body` takes.
template <class Body>
std::chrono::milliseconds duration_of(Body&& body) {
  const auto start = Clock::now();
  body();
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
}

}  // namespace vhsm::nitride
