// SPDX-License-Identifier: Apache-2.0
//
// What the server does with requests that are no part of an exchange.
#include "tests/kbs/support.h"

namespace vhsm::kbs {
namespace {

using Http = KbsTest;

TEST_F(Http, SaysThatItIsAlive) {
  start();
  const auto answer = http_->Get("/healthz");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "");
}

TEST_F(Http, UnknownPluginsAre404) {
  start();
  for (const char* path : {"/kbs/v0/foo", "/kbs/v0/auth", "/kbs/v0/attest", "/kbs/v0/foo/bar",
                           "/kbs/v0/resource-policy", "/kbs/v0/resource"}) {
    EXPECT_EQ(refusal(http_->Get(path)), "404 PluginNotFound") << path;
  }
  EXPECT_THAT(http_->Get("/kbs/v0/foo/bar")->body,
              testing::HasSubstr(R"("detail":"Plugin foo not found")"));
}

TEST_F(Http, OtherPathsAre404) {
  start();
  for (const char* path : {"/", "/kbs", "/kbs/v1/auth", "/metrics"}) {
    EXPECT_EQ(refusal(http_->Get(path)), "404 InvalidRequestPath") << path;
  }
}

TEST_F(Http, OffersNoAdministration) {
  start();
  ASSERT_TRUE(kbs_->store().put("a/b/c", secret("1")).ok());
  const std::string path = "/kbs/v0/resource/a/b/c";
  EXPECT_EQ(refusal(http_->Post(path, "2", "application/octet-stream")),
            "401 AdminAuthInitialization");
  EXPECT_EQ(refusal(http_->Put(path, "2", "application/octet-stream")),
            "401 AdminAuthInitialization");
  EXPECT_EQ(refusal(client()->Delete(path)), "401 AdminAuthInitialization");
  EXPECT_EQ(text(kbs_->store().content("a/b/c").value()), "1");
}

TEST_F(Http, RefusesOtherMethods) {
  start();
  EXPECT_EQ(http_->Patch("/kbs/v0/auth", "", "text/plain")->status, 405);
  EXPECT_EQ(client()->Options("/kbs/v0/auth")->status, 405);
}

TEST_F(Http, RefusesBigBodies) {
  start();
  const std::string big(kMaxBodyBytes + 1, ' ');
  EXPECT_EQ(refusal(http_->Post("/kbs/v0/auth", big, "application/json")), "413 InvalidRequest");
  EXPECT_TRUE(kbs_->store().audit(10).value().empty());
}

TEST_F(Http, RefusesBigBodiesInChunks) {
  start();
  const std::string chunk(1 << 16, ' ');
  std::size_t sent = 0;
  const auto answer = client()->Post(
      "/kbs/v0/auth",
      [&](std::size_t /*offset*/, httplib::DataSink& sink) {
        sent += chunk.size();
        if (sent > 2 * kMaxBodyBytes)
          sink.done();
        else if (!sink.write(chunk.data(), chunk.size()))
          return false;
        return true;
      },
      "application/json");
  // The server may hang up before the client has sent everything: then there is no answer to read.
  EXPECT_EQ(answer ? answer->status : 413, 413);
  EXPECT_TRUE(kbs_->store().audit(10).value().empty());
}

TEST_F(Http, RefusesMultipartBodies) {
  start();
  const httplib::MultipartFormDataItems items{{"a", "{}", "", ""}};
  EXPECT_EQ(refusal(client()->Post("/kbs/v0/auth", items)), "404 PluginNotFound");
}

TEST_F(Http, SurvivesLongPathsAndHeaders) {
  start();
  const auto path = client()->Get("/kbs/v0/resource/" + std::string(7000, 'a'));
  ASSERT_TRUE(path);
  EXPECT_EQ(path->status, 401);
  const auto header = client()->Get("/healthz", {{"X-Long", std::string(20000, 'a')}});
  EXPECT_TRUE(!header || header->status == 400 || header->status == 200);
  EXPECT_EQ(client()->Get("/healthz")->status, 200);
}

TEST_F(Http, IsNotTrustedWithoutItsCa) {
  start();
  httplib::SSLClient stranger("127.0.0.1", server_->port());
  stranger.enable_server_certificate_verification(true);
  EXPECT_FALSE(stranger.Get("/healthz"));
}

TEST_F(Http, SpeaksTls12AndNothingOlder) {
  start();
  const auto modern = client();
  SSL_CTX_set_max_proto_version(modern->ssl_context(), TLS1_2_VERSION);
  EXPECT_TRUE(modern->Get("/healthz"));
  const auto old = client();
  SSL_CTX_set_security_level(old->ssl_context(), 0);
  SSL_CTX_set_min_proto_version(old->ssl_context(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(old->ssl_context(), TLS1_1_VERSION);
  EXPECT_FALSE(old->Get("/healthz"));
}

TEST_F(Http, BoundsItsSessions) {
  start([](Config& config) { config.max_sessions = 2; });
  auth();
  auth();
  const auto third = http_->Post(
      "/kbs/v0/auth", R"({"version":"0.4.0","tee":"snp","extra-params":""})", "application/json");
  EXPECT_EQ(refusal(third), "401 AttestationError");
  EXPECT_EQ(last_audit(), "auth refused too many sessions at once");
  advance(std::chrono::seconds(301));
  auth();
}

TEST_F(Http, CannotStartWithAKeyOfAnotherCertificate) {
  auto config = read_config(folder_ / "vhsm-kbs.cnf").value();
  config.private_key = folder_ / "ca.key";
  auto kbs = Kbs::open(config, [] { return std::chrono::system_clock::now(); });
  ASSERT_TRUE(kbs.ok()) << describe(kbs.error());
  const auto server = HttpServer::open(*kbs.value());
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.error().code, Errc::kBadFormat);
}

TEST_F(Http, CannotStartOnATakenPort) {
  start();
  auto config = read_config(folder_ / "vhsm-kbs.cnf").value();
  config.listen.host = "192.0.2.1";  // nobody's
  config.listen.port = server_->port();
  const auto kbs = Kbs::open(config, [] { return std::chrono::system_clock::now(); });
  ASSERT_TRUE(kbs.ok());
  const auto server = HttpServer::open(*kbs.value());
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.error().code, Errc::kIo);
}

}  // namespace
}  // namespace vhsm::kbs
