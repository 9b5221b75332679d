// SPDX-License-Identifier: Apache-2.0
//
// What can go wrong: each case ends in time with a nonzero exit and an error that names the key or
// the file, the cause and the cure; the KBS's side of a lie is played by a proxy in the test.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/keystore/samples.h"
#include "tests/world/world.h"

namespace vhsm::tests {
namespace {

using std::chrono::seconds;

/// A loopback port on which connections are accepted and never answered.
class SilentServer {
 public:
  SilentServer() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(socket_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(socket_, 8);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { ::close(socket_); }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;
  [[nodiscard]] int port() const noexcept { return port_; }

 private:
  int socket_;
  int port_ = 0;
};

class BadInputTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = std::make_unique<World>();
    ASSERT_TRUE(world_->ready());
    world_->put("default/tls/www", keystore::pkcs8_pem(keystore::make_key("P-256").get()));
    write_file(world_->file("message"), "what is signed\n");
  }
  static void TearDownTestSuite() { world_.reset(); }
  void TearDown() override { world_->configure(); }

  static std::string path(const std::string& file) { return world_->file(file); }

  static Outcome sign(const std::string& uri, const std::vector<std::string>& extra = {}) {
    auto environment = world_->environment();
    environment.insert(environment.begin(), extra.begin(), extra.end());
    return run({"openssl", "pkeyutl", "-provider", "vhsm", "-sign", "-inkey", uri, "-rawin", "-in",
                path("message"), "-out", path("signature")},
               environment);
  }

  /// Refused within `limit`, in words that hold each of `parts`.
  static void expect_refused(const std::string& uri, const std::vector<std::string>& parts,
                             seconds limit = seconds(5)) {
    const auto start = std::chrono::steady_clock::now();
    const Outcome outcome = sign(uri);
    EXPECT_LT(std::chrono::steady_clock::now() - start, limit);
    EXPECT_GT(outcome.status, 0) << "a nonzero exit, not a signal";
    for (const auto& part : parts) {
      EXPECT_NE(outcome.err.find(part), std::string::npos) << "no \"" << part << "\" in\n"
                                                           << outcome.err;
    }
  }

  static void configure_kbs(const std::string& kbs, const std::string& more = "") {
    write_file(world_->file("vhsm.cnf"), "[vhsm]\nplatform = emulator:" + path("snp") +
                                             "\nkbs = " + kbs + "\nkbs_ca = " + path("kbs/ca.pem") +
                                             "\n" + more);
  }

  static std::unique_ptr<World> world_;
};
std::unique_ptr<World> BadInputTest::world_;

TEST_F(BadInputTest, GoodInputWorks) { EXPECT_EQ(sign("vhsm:default/tls/www").status, 0); }

TEST_F(BadInputTest, AnUnknownKey) {
  expect_refused("vhsm:default/tls/nobody",
                 {"missing", "default/tls/nobody", "vhsm-kbs resource put"});
}

TEST_F(BadInputTest, ADisabledKeyIsDenied) {
  world_->put("default/tls/off", keystore::pkcs8_pem(keystore::make_key("P-256").get()));
  ASSERT_EQ(
      world_->kbs({"resource", "disable", "default/tls/off", "--config", path("kbs/vhsm-kbs.cnf")})
          .status,
      0);
  expect_refused("vhsm:default/tls/off", {"denied", "default/tls/off"});
}

TEST_F(BadInputTest, TheKbsIsDown) {
  world_->stop_kbs();
  expect_refused("vhsm:default/tls/www", {"unreachable", "vhsm:default/tls/www from https", "kbs"});
  world_->start_kbs();
  EXPECT_EQ(sign("vhsm:default/tls/www").status, 0);
}

TEST_F(BadInputTest, TheKbsNeverAnswers) {
  const SilentServer silent;
  configure_kbs("https://127.0.0.1:" + std::to_string(silent.port()), "fetch_timeout = 2s\n");
  expect_refused("vhsm:default/tls/www", {"unreachable", "default/tls/www"});
}

TEST_F(BadInputTest, ByDefaultASilentKbsHoldsNobodyForLongerThanTheFetchTimeout) {
  const SilentServer silent;
  configure_kbs("https://127.0.0.1:" + std::to_string(silent.port()));
  expect_refused("vhsm:default/tls/www", {"unreachable"}, seconds(12));
}

TEST_F(BadInputTest, TlsOfAStranger) {
  const World stranger;
  ASSERT_TRUE(stranger.ready());
  // Our KBS, but trust in the stranger's CA only.
  const std::string settings = read_file(world_->file("vhsm.cnf"));
  write_file(world_->file("vhsm.cnf"),
             settings + "kbs_ca = " + stranger.file("kbs/ca.pem").string() + "\n");
  expect_refused("vhsm:default/tls/www", {"default/tls/www", "certificate", "kbs_ca"});
}

TEST_F(BadInputTest, AWrongMeasurementIsNotAttested) {
  ASSERT_EQ(run({std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator", "init", path("snp-other"),
                 "--measurement", std::string(96, 'b')})
                .status,
            0);
  const std::string endpoint_line = read_file(world_->file("vhsm.cnf"));
  std::string changed = endpoint_line;
  changed.replace(changed.find(path("snp")), path("snp").size(), path("snp-other"));
  write_file(world_->file("vhsm.cnf"), changed);
  expect_refused("vhsm:default/tls/www", {"not attested", "default/tls/www", "audit"});
}

TEST_F(BadInputTest, ADebugGuestIsNotAttested) {
  ASSERT_EQ(run({std::string(VHSM_BIN_DIR) + "/vhsm-snp-emulator", "init", path("snp-debug"),
                 "--measurement", std::string(96, 'a'), "--policy", "b0000"})
                .status,
            0);
  std::string changed = read_file(world_->file("vhsm.cnf"));
  changed.replace(changed.find(path("snp")), path("snp").size(), path("snp-debug"));
  write_file(world_->file("vhsm.cnf"), changed);
  expect_refused("vhsm:default/tls/www", {"not attested"});
}

TEST_F(BadInputTest, MalformedUris) {
  for (const char* uri :
       {"vhsm:a//", "vhsm:a/b/c/d", "vhsm:a//b", "vhsm:../b/c", "vhsm:a/b/c?type=x", "vhsm:a/b/%zz",
        "vhsm:a/b/c?version=-1", "vhsm:a b/c/d"}) {
    expect_refused(uri, {"malformed URI"});
  }
}

TEST_F(BadInputTest, MalformedConfiguration) {
  const auto refuse = [&](const std::string& line, const std::vector<std::string>& parts) {
    write_file(world_->file("vhsm.cnf"), "[vhsm]\nplatform = none\n" + line + "\n");
    expect_refused("vhsm:default/tls/www", parts);
  };
  refuse("kbsx = https://127.0.0.1", {"kbsx", "vhsm.cnf:3", "no such key"});
  refuse("platform = tpm", {"platform = tpm", "allowed: auto", "vhsm.cnf:3"});
  refuse("connect_timeout = soon", {"connect_timeout = soon", "vhsm.cnf:3"});
  refuse("kbs = http://192.0.2.1", {"kbs = http://192.0.2.1", "kbs_insecure"});
  refuse("kbs = https://a\nattestation_service = http://192.0.2.1",
         {"vhsm.cnf:4: attestation_service = http://192.0.2.1", "kbs_insecure"});
  refuse("prefetch = a/../b", {"vhsm.cnf: prefetch = a/../b"});
  refuse("kbs_ca = /nonexistent/ca.pem\nkbs = https://127.0.0.1:1", {"/nonexistent/ca.pem"});
  refuse("lease = 60", {"lease"});
}

TEST_F(BadInputTest, AMissingConfigurationThatWasNamed) {
  std::filesystem::remove(world_->file("vhsm.cnf"));
  expect_refused("vhsm:default/tls/www", {"vhsm.cnf"});
}

TEST_F(BadInputTest, KeysThatAreNotHeld) {
  world_->put("default/bad/curve", keystore::pkcs8_pem(ossl::PKey(EVP_EC_gen("secp192k1")).get()));
  expect_refused("vhsm:default/bad/curve", {"unsupported", "default/bad/curve"});
  world_->put("default/bad/small", keystore::pkcs8_pem(keystore::make_key("RSA1024").get()));
  expect_refused("vhsm:default/bad/small", {"unsupported", "2048"});
  world_->put("default/bad/text", "not a key");
  expect_refused("vhsm:default/bad/text", {"malformed data", "default/bad/text"});
}

TEST_F(BadInputTest, ATooSmallMemoryLimit) {
  world_->configure("memory_limit = 64K\n");
  expect_refused("vhsm:default/tls/www", {"memory limit", "RLIMIT_MEMLOCK"});
}

TEST_F(BadInputTest, ALimitOfAnOrdinaryUserThatLeavesNoRoom) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become an ordinary user";
  // The module goes where that user can read it.
  std::filesystem::copy(std::string(VHSM_LIB_DIR) + "/vhsm.so", world_->file("vhsm.so"));
  std::filesystem::permissions(world_->folder(), std::filesystem::perms(0755));
  write_file(world_->file("plain.cnf"), "[vhsm]\n");
  const auto outcome =
      run({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c",
           "ulimit -l 64; exec openssl list -providers -provider vhsm"},
          {"VHSM_CONF=" + path("plain.cnf"), "OPENSSL_MODULES=" + world_->folder().string(),
           "OPENSSL_CONF=/dev/null"});
  EXPECT_GT(outcome.status, 0);
  EXPECT_NE(outcome.err.find("RLIMIT_MEMLOCK"), std::string::npos) << outcome.err;
}

TEST_F(BadInputTest, NoPlatformHere) {
  configure_kbs("https://127.0.0.1:1");
  std::string changed = read_file(world_->file("vhsm.cnf"));
  changed.replace(changed.find("emulator:" + path("snp")), 9 + path("snp").size(), "none");
  write_file(world_->file("vhsm.cnf"), changed);
  expect_refused("vhsm:default/tls/www", {"platform"});
}

TEST_F(BadInputTest, TheHostProgramGoesOnAndNothingElseIsPrinted) {
  world_->configure();
  // One process: a failing key first, then a file key that has to work; stdout stays clean.
  write_file(world_->file("file.pem"), keystore::pkcs8_pem(keystore::make_key("P-256").get()));
  const auto outcome = run({"openssl", "pkey", "-provider", "vhsm", "-provider", "default", "-in",
                            path("file.pem"), "-noout"},
                           world_->environment());
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out + outcome.err, "");
}

}  // namespace
}  // namespace vhsm::tests
