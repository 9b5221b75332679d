// SPDX-License-Identifier: Apache-2.0
//
// A real vhsm-kbs on a loopback port with TLS, and its client.
#include "tests/kbs/support.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "jose/jcs.h"
#include "jose/runtime.h"
#include "memory/protected_memory.h"
#include "snp/evidence_json.h"

namespace vhsm::kbs {
namespace {

class ProtectedMemory : public testing::Environment {
 public:
  void SetUp() override {
    const Status started = memory::initialise({});
    ASSERT_TRUE(started.ok()) << describe(started.error());
  }
};
const auto* const kMemory = testing::AddGlobalTestEnvironment(new ProtectedMemory);

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = std::filesystem::temp_directory_path() / "vhsm-kbs-XXXXXX";
  path_ = mkdtemp(name.data());
}

TemporaryFolder::~TemporaryFolder() { std::filesystem::remove_all(path_); }

std::string read_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void write_text(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

SecretBytes secret(std::string_view text) {
  return SecretBytes::copy({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()})
      .value();
}

std::string text(const SecretBytes& secret) {
  const auto bytes = secret.expose();
  return {bytes.begin(), bytes.end()};
}

std::string emulator_measurement() {
  return Json::parse(read_text(VHSM_TEST_EMULATOR "/emulator.json"))["measurement"];
}

std::string emulator_root() { return VHSM_TEST_EMULATOR "/ark.pem"; }

Json Attestation::body() const {
  return Json{{"init-data", nullptr},
              {"runtime-data", {{"nonce", nonce}, {"tee-pubkey", jose::to_json(tee_key)}}},
              {"tee-evidence",
               {{"primary_evidence", snp::to_json(evidence)}, {"additional_evidence", ""}}}};
}

KbsTest::KbsTest() : key_(jose::TeeKey::generate()) {
  const Status made = init(
      {folder_ / "vhsm-kbs.cnf", {}, "127.0.0.1:0", emulator_root(), {emulator_measurement()}});
  EXPECT_TRUE(made.ok()) << describe(made.error());
}

KbsTest::~KbsTest() {
  http_.reset();
  if (server_ != nullptr) server_->stop();
  if (thread_.joinable()) thread_.join();
}

void KbsTest::start(const std::function<void(Config&)>& change) {
  auto config = read_config(folder_ / "vhsm-kbs.cnf");
  ASSERT_TRUE(config.ok()) << describe(config.error());
  config.value().log = folder_ / "log";
  change(config.value());
  auto kbs = Kbs::open(std::move(config).value(), [this] {
    return std::chrono::system_clock::now() + std::chrono::seconds(skew_.load());
  });
  ASSERT_TRUE(kbs.ok()) << describe(kbs.error());
  kbs_ = std::move(kbs).value();
  auto server = HttpServer::open(*kbs_);
  ASSERT_TRUE(server.ok()) << describe(server.error());
  server_ = std::make_unique<HttpServer>(std::move(server).value());
  thread_ = std::thread([this] { server_->run(); });
  http_ = client();
}

std::unique_ptr<httplib::SSLClient> KbsTest::client() const {
  auto made = std::make_unique<httplib::SSLClient>("127.0.0.1", server_->port());
  made->set_ca_cert_path((folder_ / "ca.pem").c_str());
  made->enable_server_certificate_verification(true);
  return made;
}

std::unique_ptr<snp::Platform> KbsTest::vm(const std::string& folder) const {
  auto opened = snp::open_emulator(folder.empty() ? VHSM_TEST_EMULATOR : folder, std::nullopt);
  EXPECT_TRUE(opened.ok()) << describe(opened.error());
  return std::move(opened).value();
}

void KbsTest::auth() {
  const auto answer = http_->Post(
      "/kbs/v0/auth", R"({"version":"0.4.0","tee":"snp","extra-params":""})", "application/json");
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->status, 200) << answer->body;
  const std::string cookie = answer->get_header_value("Set-Cookie");
  cookie_ = cookie.substr(0, cookie.find(';'));
  nonce_ = Json::parse(answer->body)["nonce"];
}

Attestation KbsTest::attestation(snp::Platform& platform) const {
  const auto& jwk = key_.value().public_jwk();
  const auto data = jose::report_data(nonce_, jwk);
  auto evidence = platform.attest(data.value(), snp::kNoDeadline);
  EXPECT_TRUE(evidence.ok()) << describe(evidence.error());
  return {nonce_, jwk, std::move(evidence).value()};
}

void KbsTest::attest() {
  auth();
  const auto platform = vm();
  const auto answer = post_attest(attestation(*platform).body());
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->status, 200) << last_audit();
  token_ = Json::parse(answer->body)["token"];
}

httplib::Result KbsTest::post_attest(const Json& body) {
  return http_->Post("/kbs/v0/attest", {{"Cookie", cookie_}}, jose::canonical(body),
                     "application/json");
}

httplib::Result KbsTest::get_resource(const std::string& path) {
  return http_->Get("/kbs/v0/resource/" + path, {{"Cookie", cookie_}});
}

std::string KbsTest::refusal(const httplib::Result& result) {
  if (!result) return "no answer";
  const Json body = Json::parse(result->body, nullptr, false);
  const auto type = jose::text_member(body, "type");
  const auto detail = jose::text_member(body, "detail");
  if (!type.ok() || !detail.ok() || body.size() != 2) return "form: " + result->body;
  constexpr std::string_view kPrefix = "https://github.com/confidential-containers/kbs/errors/";
  if (!type.value().starts_with(kPrefix)) return "type: " + std::string(type.value());
  return std::to_string(result->status) + " " + std::string(type.value().substr(kPrefix.size()));
}

std::string KbsTest::last_audit() {
  const auto rows = kbs_->store().audit(1).value();
  if (rows.empty()) return "none";
  const AuditRow& row = rows.front();
  return row.event + " " + row.outcome + (row.reason.empty() ? "" : " " + row.reason);
}

}  // namespace vhsm::kbs
