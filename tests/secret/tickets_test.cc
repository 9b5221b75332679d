// SPDX-License-Identifier: Apache-2.0
//
// Session ticket keys that two VMs derive from one key: a session that one nginx has begun goes on
// at the other, for as long as the periods say.
#include <linux/magic.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <string>

#include "tests/secret/fixture.h"
#include "tests/servers/server.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// One nginx with these ticket keys.
class TicketServer {
 public:
  TicketServer(std::filesystem::path folder, const std::string& keys, const std::string& identity)
      : folder_(std::move(folder)), port_(free_port()) {
    std::filesystem::create_directories(folder_);
    std::string conf = "error_log " + at("error.log") + ";\npid " + at("pid") +
                       ";\nevents {}\nhttp {\n access_log off;\n";
    for (const char* const kind : {"body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      conf += std::string(" ") + (kind == std::string("body") ? "client_body" : kind) +
              "_temp_path " + at(kind) + ";\n";
    }
    conf += " server {\n  listen 127.0.0.1:" + std::to_string(port_) +
            " ssl;\n  ssl_protocols TLSv1.2;\n  ssl_certificate " + identity +
            ";\n  ssl_certificate_key " + identity + ";\n  ssl_session_cache none;\n";
    for (const char* const key : {"current", "previous", "next"}) {
      conf += "  ssl_session_ticket_key " + keys + "/" + key + ".key;\n";
    }
    write_file(folder_ / "nginx.conf", conf + "  return 204;\n }\n}\n");
  }
  TicketServer(const TicketServer&) = delete;
  TicketServer& operator=(const TicketServer&) = delete;
  ~TicketServer() {
    const std::string pid = read_file(folder_ / "pid");
    if (pid.empty()) return;
    ::kill(std::stoi(pid), SIGQUIT);
    eventually([&] { return !std::filesystem::exists(folder_ / "pid"); });
  }

  [[nodiscard]] Outcome start() const {
    return run({"nginx", "-p", folder_, "-c", at("nginx.conf")}, {"OPENSSL_CONF=/dev/null"});
  }
  void reload() const { ::kill(std::stoi(read_file(folder_ / "pid")), SIGHUP); }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  [[nodiscard]] std::string at(const std::string& name) const { return folder_ / name; }

  std::filesystem::path folder_;
  int port_;
};

class TicketTest : public SecretFlowTest {
 protected:
  void TearDown() override { ::umount2(file("tickets").c_str(), MNT_DETACH); }

  Outcome write_keys(const std::string& period, std::vector<std::string> more = {"--mount"}) const {
    std::vector<std::string> arguments{
        "ticket-keys", "default/key/tickets", "--dir", file("tickets"), "--period", period};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return vhsm(arguments);
  }
  [[nodiscard]] std::string key(const char* which) const {
    return read_file(world_.file("tickets") / (std::string(which) + ".key"));
  }
  [[nodiscard]] std::string identity() const {
    const std::string pem = file("identity.pem");
    const auto made = shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=www "
        "-keyout " +
        pem + ".key -out " + pem + ".crt && cat " + pem + ".crt " + pem + ".key >" + pem);
    EXPECT_EQ(made.status, 0) << made.err;
    return pem;
  }
  [[nodiscard]] std::string connect(const TicketServer& server, const std::string& session) const {
    return shell("OPENSSL_CONF=/dev/null openssl s_client -connect " + server.address() +
                 " -tls1_2 " + session + " </dev/null")
        .out;
  }
};

TEST_F(TicketTest, TheSameKeyAndTimeGiveTheSameKeysAndTheyGoOnInTheNextPeriod) {
  world_.put("default/key/tickets", std::string(32, 't'));
  const auto done = write_keys("604800");
  if (done.err.find("no ramfs") != std::string::npos) GTEST_SKIP() << done.err;
  ASSERT_EQ(done.status, 0) << done.err;
  struct statfs status {};
  ASSERT_EQ(::statfs(file("tickets").c_str(), &status), 0);
  EXPECT_EQ(status.f_type, RAMFS_MAGIC);
  const std::string current = key("current");
  EXPECT_EQ(current.size(), 80U);
  EXPECT_NE(current, key("next"));
  EXPECT_NE(current, key("previous"));
  ASSERT_EQ(write_keys("604800").status, 0);
  EXPECT_EQ(key("current"), current);
  ASSERT_EQ(write_keys("1").status, 0);
  EXPECT_NE(key("current"), current);
  const std::string second = key("current");
  ASSERT_TRUE(eventually([&] { return write_keys("1").status == 0 && key("current") != second; }));
}

TEST_F(TicketTest, AKeyIsHkdfOfTheHeldKeyAndThePeriod) {
  world_.put("default/key/tickets", std::string(32, 't'));
  const auto done = write_keys("604800");
  if (done.err.find("no ramfs") != std::string::npos) GTEST_SKIP() << done.err;
  const auto expected = shell(
      "PERIOD=$(printf %016x $(($(date +%s) / 604800))); "
      "openssl kdf -keylen 80 -kdfopt digest:SHA256 -kdfopt hexkey:" +
      [] {
        std::string hex;
        for (int i = 0; i < 32; ++i) hex += "74";
        return hex;
      }() +
      " -kdfopt hexinfo:$(printf 'vhsm tls ticket key 1' | od -An -tx1 | tr -d ' \\n')$PERIOD "
      "-binary HKDF");
  EXPECT_EQ(key("current"), expected.out) << expected.err;
}

TEST_F(TicketTest, ADiskIsNoPlaceForThem) {
  world_.put("default/key/tickets", std::string(32, 't'));
  const auto refused = vhsm({"ticket-keys", "default/key/tickets", "--dir", file("tickets")});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, HasSubstr("--mount"));
  EXPECT_TRUE(std::filesystem::is_empty(world_.file("tickets")));
}

TEST_F(TicketTest, AFolderThatOthersMayWriteToIsRefused) {
  world_.put("default/key/tickets", std::string(32, 't'));
  for (const auto mode : {0770, 0702}) {
    std::filesystem::create_directory(world_.file("tickets"));
    std::filesystem::permissions(world_.file("tickets"), std::filesystem::perms(mode));
    const auto refused = write_keys("604800");
    EXPECT_EQ(refused.status, 2) << mode;
    EXPECT_THAT(refused.err, HasSubstr("others may write"));
    EXPECT_TRUE(std::filesystem::is_empty(world_.file("tickets")));
  }
}

TEST_F(TicketTest, AKeyThatIsTooShortForWhatIsDerivedIsRefused) {
  world_.put("default/key/tickets", std::string(31, 't'));
  const auto refused = write_keys("604800");
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("256 bits"));
  EXPECT_FALSE(std::filesystem::exists(world_.file("tickets")));
}

TEST_F(TicketTest, ASessionOfOneNginxGoesOnAtAnotherUntilTheKeysHaveGone) {
  world_.put("default/key/tickets", std::string(32, 't'));
  const auto done = write_keys("604800");
  if (done.err.find("no ramfs") != std::string::npos) GTEST_SKIP() << done.err;
  ASSERT_EQ(done.status, 0) << done.err;
  const std::string pem = identity();
  const TicketServer one(world_.file("one"), file("tickets"), pem);
  const TicketServer two(world_.file("two"), file("tickets"), pem);
  for (const TicketServer* const server : {&one, &two}) {
    const auto started = server->start();
    ASSERT_EQ(started.status, 0) << started.err;
  }
  const std::string out = "-sess_out " + file("session");
  const std::string in = "-sess_in " + file("session");
  ASSERT_THAT(connect(one, out), HasSubstr("New, TLSv1.2"));
  EXPECT_THAT(connect(two, in), HasSubstr("Reused, TLSv1.2"));
  // Another period length gives other keys, as a period or two later would.
  ASSERT_EQ(write_keys("1").status, 0);
  two.reload();
  EXPECT_TRUE(
      eventually([&] { return connect(two, in).find("New, TLSv1.2") != std::string::npos; }));
  EXPECT_THAT(connect(one, in), HasSubstr("Reused, TLSv1.2")) << "until it is reloaded, too";
}

}  // namespace
}  // namespace vhsm::tests
