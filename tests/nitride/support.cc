// SPDX-License-Identifier: Apache-2.0
#include "tests/nitride/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "jose/base64.h"
#include "jose/jwe.h"
#include "jose/runtime.h"
#include "memory/protected_memory.h"

namespace vhsm::nitride {
namespace {

std::string pem_text(const std::function<int(BIO*)>& write) {
  const ossl::Bio bio(BIO_new(BIO_s_mem()));
  EXPECT_EQ(write(bio.get()), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

void extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  ASSERT_NE(extension, nullptr) << value;
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

Identity make_identity(const char* name, const Identity* ca, const std::string& names,
                       int days_left, int days_old) {
  static std::atomic<int> serial{1};
  Identity made{ossl::X509Cert(X509_new()), ossl::PKey(EVP_EC_gen("P-256"))};
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  constexpr long kDay = 86400;
  X509_gmtime_adj(X509_getm_notBefore(certificate), -kDay * days_old);
  X509_gmtime_adj(X509_getm_notAfter(certificate), kDay * days_left);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509* issuer = ca == nullptr ? certificate : ca->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  X509_set_pubkey(certificate, made.key.get());
  extend(certificate, issuer, NID_basic_constraints,
         ca == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!names.empty()) extend(certificate, issuer, NID_subject_alt_name, names);
  EXPECT_GT(X509_sign(certificate, ca == nullptr ? made.key.get() : ca->key.get(), EVP_sha256()),
            0);
  return made;
}

/// A token that only its own service knows again.
std::string token(std::int64_t issued, std::int64_t seconds, std::size_t number) {
  const nlohmann::json claims{{"iat", issued}, {"jti", number}, {"exp", issued + seconds}};
  return jose::base64url(R"({"alg":"ES256"})") + "." + jose::base64url(claims.dump()) + ".c2ln";
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// @return a bound socket and its port.
std::pair<int, int> bound_socket() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(descriptor, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return {descriptor, ntohs(address.sin_port)};
}

}  // namespace

std::string Identity::certificate_pem() const {
  return pem_text([this](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
}

std::string Identity::key_pem() const {
  return pem_text([this](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string Identity::pin() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  std::array<unsigned char, 32> digest{};
  EXPECT_EQ(EVP_Q_digest(nullptr, "SHA256", nullptr, der, static_cast<std::size_t>(size),
                         digest.data(), nullptr),
            1);
  OPENSSL_free(der);
  std::string hex;
  for (const unsigned char byte : digest) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

Identity make_ca(const char* name) { return make_identity(name, nullptr, {}, 7000, 7000); }

Identity make_leaf(const Identity& ca, const std::string& names, int days_left, int days_old) {
  return make_identity("server", &ca, names, days_left, days_old);
}

Result<snp::Evidence> FakePlatform::attest(const snp::ReportData& data, TimePoint /*deadline*/) {
  if (broken) return fail(Errc::kPlatform, "the fake is broken", "fake");
  snp::Evidence evidence;
  evidence.report[0] = 3;
  std::ranges::copy(data, evidence.report.begin() + 0x50);
  return evidence;
}

// ----- the KBS -----------------------------------------------------------------------------------

FakeKbs::FakeKbs() : server_(std::make_unique<httplib::Server>()) { start(); }

FakeKbs::FakeKbs(const Identity& server, X509_STORE* client_roots)
    : server_(std::make_unique<httplib::SSLServer>(server.certificate.get(), server.key.get(),
                                                   client_roots)),
      tls_(true) {
  start();
}

FakeKbs::~FakeKbs() {
  server_->stop();
  thread_.join();
}

void FakeKbs::start() {
  const auto route = [this](auto handler) {
    return [this, handler](const httplib::Request& request, httplib::Response& response) {
      const std::lock_guard lock(mutex_);
      (this->*handler)(request, response);
    };
  };
  server_->Post("/kbs/v0/auth", route(&FakeKbs::auth));
  server_->Post("/kbs/v0/attest", route(&FakeKbs::attest));
  server_->Get("/kbs/v0/resource/(.*)", route(&FakeKbs::resource));
  port_ = server_->bind_to_any_port("127.0.0.1");
  thread_ = std::thread([this] { server_->listen_after_bind(); });
  while (!server_->is_running()) std::this_thread::sleep_for(1ms);
}

std::string FakeKbs::url(const std::string& host) const {
  return (tls_ ? "https://" : "http://") + host + ":" + std::to_string(port_);
}

void FakeKbs::forget_sessions() {
  const std::lock_guard lock(mutex_);
  sessions_.clear();
  tokens_.clear();
}

void FakeKbs::auth(const httplib::Request& request, httplib::Response& response) {
  ++auths;
  last_auth_body = request.body;
  last_agent = request.get_header_value("User-Agent");
  if (on_auth && on_auth(request, response)) return;
  const std::string id = "session" + std::to_string(next_session_++);
  const std::string nonce = "bm9uY2U/" + id + "+==";  // not base64: it must stay opaque
  sessions_[id] = {nonce, std::nullopt};
  response.set_header("Set-Cookie",
                      "kbs-session-id=" + id + "; Expires=Wed, 21 Oct 2099 07:28:00 GMT");
  if (!extra_set_cookie.empty()) response.headers.emplace("Set-Cookie", extra_set_cookie);
  response.set_content(nlohmann::json{{"nonce", nonce}, {"extra-params", ""}}.dump(),
                       "application/json");
}

FakeKbs::Session* FakeKbs::session_of(const httplib::Request& request) {
  const std::string name = "kbs-session-id=";  // not always the first: cookies have no order
  const std::string cookies = request.get_header_value("Cookie");
  const std::size_t start = cookies.find(name);
  if (start == std::string::npos) return nullptr;
  const std::size_t value = start + name.size();
  const auto found = sessions_.find(cookies.substr(value, cookies.find(';', value) - value));
  return found == sessions_.end() ? nullptr : &found->second;
}

void FakeKbs::attest(const httplib::Request& request, httplib::Response& response) {
  ++attests;
  last_attest_body = request.body;
  if (on_attest && on_attest(request, response)) return;
  Session* session = session_of(request);
  const auto body = nlohmann::json::parse(request.body);
  const auto key = jose::tee_jwk_from_json(body["runtime-data"]["tee-pubkey"]);
  if (session == nullptr || !key.ok() || body["runtime-data"]["nonce"] != session->nonce) {
    return answer_error(response, 401, "AttestationError", "no session, nonce or key");
  }
  const auto wanted = jose::report_data(session->nonce, key.value()).value();
  const auto& evidence = body["tee-evidence"]["primary_evidence"];
  const bool bound = takes_sample
                         ? evidence["report_data"] == jose::base64(std::span(wanted).first<48>())
                         : evidence["attestation_report"]["report_data"] == nlohmann::json(wanted);
  if (!bound) return answer_error(response, 401, "AttestationError", "report data");
  session->key = key.value();
  const std::string earned = token(token_issued, token_seconds, tokens_.size());
  tokens_.emplace(earned, key.value());
  response.set_content(nlohmann::json{{"token", earned}}.dump(), "application/json");
}

/// By the session, else by the token of a service that is trusted.
std::optional<jose::TeeJwk> FakeKbs::key_of(const httplib::Request& request) {
  last_authorization = request.get_header_value("Authorization");
  const Session* session = session_of(request);
  if (session != nullptr) return session->key;
  if (trusted_ == nullptr || !last_authorization.starts_with("Bearer ")) return std::nullopt;
  const std::lock_guard lock(trusted_->mutex_);
  const auto found = trusted_->tokens_.find(last_authorization.substr(7));
  return found == trusted_->tokens_.end() ? std::nullopt : std::optional(found->second);
}

void FakeKbs::resource(const httplib::Request& request, httplib::Response& response) {
  ++resources;
  last_resource_cookie = request.get_header_value("Cookie");
  if (on_resource && on_resource(request, response)) return;
  const auto key = key_of(request);
  if (!key.has_value()) {
    return answer_error(response, 401, "TokenNotFound", "Attestation Token not found");
  }
  const auto found = resources_.find(request.matches[1]);
  if (found == resources_.end()) {
    return answer_error(response, 401, "PluginInternalError", "Plugin internal error");
  }
  response.set_content(encrypted_to(*key, found->second), "application/json");
}

std::string encrypted_to(const jose::TeeJwk& key, const std::string& plaintext) {
  const auto jwe = jose::encrypt(
      {reinterpret_cast<const std::uint8_t*>(plaintext.data()), plaintext.size()}, key);
  EXPECT_TRUE(jwe.ok());
  return jwe.value();
}

void answer_error(httplib::Response& response, int status, const std::string& variant,
                  const std::string& detail) {
  response.status = status;
  response.set_content(
      nlohmann::json{{"type", "https://github.com/confidential-containers/kbs/errors/" + variant},
                     {"detail", detail}}
          .dump(),
      "text/plain");
}

FakeKbs::Hook refuse(int status, const std::string& variant, const std::string& detail) {
  return [=](const httplib::Request& /*request*/, httplib::Response& response) {
    answer_error(response, status, variant, detail);
    return true;
  };
}

// ----- raw servers -------------------------------------------------------------------------------

RawServer::RawServer(Behaviour behave) {
  const auto [descriptor, port] = bound_socket();
  listener_ = descriptor;
  port_ = port;
  EXPECT_EQ(::listen(listener_, 8), 0);
  thread_ = std::thread([this, behave = std::move(behave)] { serve(behave); });
}

RawServer::~RawServer() {
  ending_ = true;
  thread_.join();
  ::close(listener_);
}

void RawServer::serve(const Behaviour& behave) {
  while (!ending_) {
    pollfd one{listener_, POLLIN, 0};
    if (::poll(&one, 1, 10) != 1) continue;
    const int descriptor = ::accept(listener_, nullptr, nullptr);
    ++connections_;
    behave(descriptor);
    ::close(descriptor);
  }
}

std::string RawServer::url(const char* scheme) const {
  return std::string(scheme) + "://127.0.0.1:" + std::to_string(port_);
}

RawServer::Behaviour answering(std::string answer) {
  return [answer = std::move(answer)](int descriptor) {
    std::array<char, 4096> buffer;
    if (::recv(descriptor, buffer.data(), buffer.size(), 0) <= 0) return;
    ::send(descriptor, answer.data(), answer.size(), MSG_NOSIGNAL);
    ::shutdown(descriptor, SHUT_WR);
    while (::recv(descriptor, buffer.data(), buffer.size(), 0) > 0) continue;
  };
}

std::string dead_url() {
  const auto [descriptor, port] = bound_socket();  // bound, not listening, then free again
  ::close(descriptor);
  return "http://127.0.0.1:" + std::to_string(port);
}

// ----- the fixture -------------------------------------------------------------------------------

void NitrideTest::SetUpTestSuite() { ASSERT_TRUE(memory::initialise({}).ok()); }

NitrideTest::NitrideTest() {
  settings.connect_timeout = 2000ms;
  settings.fetch_timeout = 5000ms;
  settings.log = folder.file("log");
  settings.log_level = "debug";
  settings.audit = folder.file("audit");
}

Client& NitrideTest::client() {
  if (client_ == nullptr) {
    auto log = LineFile::open(settings.log);
    auto audit = LineFile::open(settings.audit);
    auto made = Client::create(
        settings, platform, metrics,
        std::make_shared<Records>(Records{Log(std::move(log.value()), LogLevel::kDebug),
                                          AuditLog(std::move(audit.value()))}));
    EXPECT_TRUE(made.ok()) << describe(made.error());
    client_ = made.value();
  }
  return *client_;
}

Result<SecretBytes> NitrideTest::fetch(const char* name) {
  return client().fetch(name_of(name), Clock::now() + 30s);
}

std::string NitrideTest::outcome(const char* name) {
  const auto secret = fetch(name);
  return secret.ok() ? text_of(secret.value()) : reason(secret.error().code);
}

keystore::KeyName name_of(const char* path) { return keystore::KeyName::parse(path).value(); }

std::string text_of(const SecretBytes& secret) {
  return {secret.expose().begin(), secret.expose().end()};
}

}  // namespace vhsm::nitride
