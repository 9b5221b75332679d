// SPDX-License-Identifier: Apache-2.0
//
// Debian's nginx and HAProxy with a stand-in for a key file, and nothing else changed. Both start
// as root and serve as another user who cannot reach platform, configuration or CA.
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <thread>

#include "tests/servers/fixture.h"
#include "tests/servers/load.h"

namespace vhsm::tests {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

/// How often to reload under load; the campaign sets 200.
int reloads() {
  const char* const wanted = std::getenv("VHSM_RELOADS");
  return wanted == nullptr ? 12 : std::atoi(wanted);
}

class EachServerTest : public ServersTest, public ::testing::WithParamInterface<Case> {
 protected:
  std::unique_ptr<Server> make() { return ServersTest::make(GetParam().server, GetParam().kind); }
  /// Another one with the same key.
  std::unique_ptr<Server> make_again() {
    return make_with(GetParam().server, world.file(std::string(GetParam().kind) + "-vhsm.pem"));
  }
};

// T4
TEST_P(EachServerTest, ServesTls12And13FromUnprivilegedWorkersForOneAttestation) {
  const auto server = make();
  const long before = attestations();
  ASSERT_EQ(server->start(), "");
  EXPECT_EQ(visit(server->port(), {TLS1_2_VERSION}), "") << server->log();
  EXPECT_EQ(visit(server->port(), {TLS1_3_VERSION}), "") << server->log();
  for (const pid_t worker : server->workers()) EXPECT_NE(user_of(worker), "root");
  EXPECT_EQ(attestations() - before, 1);
}

TEST_P(EachServerTest, ReloadsUnderLoadWithoutAFailedHandshake) {
  const auto server = make();
  ASSERT_EQ(server->start(), "");
  Load load(server->port(), 2);
  const pid_t master = server->master();
  long early = 0;
  for (int i = 1; i <= reloads(); ++i) {
    server->reload();
    if (i == std::min(20, reloads() / 2)) early = resident_kib(master);
  }
  load.stop();
  EXPECT_EQ(server->master(), master);
  EXPECT_THAT(load.failures(), IsEmpty()) << server->log();
  EXPECT_GT(load.visits(), reloads());
  EXPECT_EQ(server->log().find("exited on signal"), std::string::npos) << server->log();
  const long late = resident_kib(master);
  RecordProperty("visits", static_cast<int>(load.visits()));
  RecordProperty("early_kib", static_cast<int>(early));
  RecordProperty("late_kib", static_cast<int>(late));
  ASSERT_GT(early, 0);
  EXPECT_LE(late, early + early / 20) << "KiB of the master's memory";
}

TEST_P(EachServerTest, StartsWithoutAKbsRefusesAtOnceAndServesWhenItIsBack) {
  const auto server = make();
  world.stop_kbs();
  ASSERT_EQ(server->start(), "");
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 8; ++i) {
    EXPECT_THAT(visit(server->port()), ::testing::HasSubstr(" alert "));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  const long before = attestations();
  world.start_kbs();
  EXPECT_TRUE(eventually([&] { return visit(server->port()).empty(); })) << server->log();
  EXPECT_TRUE(eventually([&] {  // all workers: several clients in a row are served
    int served = 0;
    while (served < 16 && visit(server->port()).empty()) ++served;
    return served == 16;
  }));
  EXPECT_EQ(attestations() - before, 1) << "for all workers";
}

/// Whether a supervisor of this machine is still there.
bool is_supervised(const World& world) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string command = read_file(entry.path() / "cmdline");
    if (command.find("vhsm-snp-emulator") != std::string::npos &&
        command.find(world.folder().string()) != std::string::npos) {
      return true;
    }
  }
  return false;
}

TEST_P(EachServerTest, AttestsThroughADeviceThatItsWorkersCouldNotOpen) {
  if (::access("/dev/sev-guest", F_OK) == 0) GTEST_SKIP() << "this machine has /dev/sev-guest";
  auto server = make();
  world.configure("log = " + world.file("vhsm.log").string() + "\n", "sev-guest");
  server->move_to_machine();
  world.stop_kbs();
  ASSERT_EQ(server->start(), "");
  EXPECT_TRUE(is_supervised(world));
  EXPECT_THAT(visit(server->port()), ::testing::HasSubstr(" alert "));
  const long before = attestations();
  world.start_kbs();
  EXPECT_TRUE(eventually([&] { return visit(server->port()).empty(); })) << server->log();
  EXPECT_EQ(attestations() - before, 1);
  server->reload();
  EXPECT_EQ(visit(server->port()), "") << server->log();
  server.reset();
  world.stop_daemon(SIGTERM);
  EXPECT_TRUE(eventually([&] { return !is_supervised(world); })) << "it ends with the last of them";
}

TEST_P(EachServerTest, AnOutageWithinTheGraceCostsNoHandshakeUnderLoad) {
  world.configure("log = " + world.file("vhsm.log").string() +
                  "\ngate = lease\nlease = 2s\noffline_grace = 1h\n");
  const auto server = make();
  ASSERT_EQ(server->start(), "");
  ASSERT_EQ(visit(server->port()), "");
  Load load(server->port(), 2);
  world.stop_kbs();
  EXPECT_TRUE(eventually([&] {
    return read_file(world.file("vhsm.log")).find("in an outage of the KBS") != std::string::npos;
  })) << "a lease falls due";
  std::this_thread::sleep_for(std::chrono::seconds(3));  // beyond each lease
  const long before = attestations();
  world.start_kbs();
  EXPECT_TRUE(eventually([&] { return attestations() > before; })) << "leases are renewed again";
  load.stop();
  EXPECT_THAT(load.failures(), IsEmpty()) << server->log();
  EXPECT_GT(load.visits(), 10);
}

TEST_P(EachServerTest, WithoutGraceAnOutageEndsServiceWithItsLeasesUntilItIsOver) {
  world.configure("log = " + world.file("vhsm.log").string() + "\ngate = lease\nlease = 1s\n");
  const auto server = make();
  ASSERT_EQ(server->start(), "");
  ASSERT_EQ(visit(server->port()), "");
  world.stop_kbs();
  EXPECT_TRUE(eventually([&] { return !visit(server->port()).empty(); }));
  world.start_kbs();
  EXPECT_TRUE(eventually([&] { return visit(server->port()).empty(); })) << server->log();
}

TEST_P(EachServerTest, AfterARebootInAnOutageItStartsAndServesFromASealedCopy) {
  world.configure("log = " + world.file("vhsm.log").string() +
                  "\ngate = lease\noffline_grace = 1h\noffline_copies = dir:" +
                  world.file("copies").string() + "\n");
  auto server = make();
  ASSERT_EQ(server->start(), "");
  ASSERT_EQ(visit(server->port()), "");
  server.reset();
  world.stop_kbs();
  if (!world.reboot()) GTEST_SKIP() << "no mount namespace here";
  const auto rebooted = make_again();
  ASSERT_EQ(rebooted->start(), "");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(visit(rebooted->port()), "") << rebooted->log();
  EXPECT_THAT(read_file(world.file("vhsm.log")),
              ::testing::HasSubstr("is served from its sealed copy in an outage of the KBS"));
  world.start_kbs();
  EXPECT_EQ(visit(rebooted->port()), "") << rebooted->log();
}

TEST_P(EachServerTest, AKeyThatTheKbsDeletesIsWipedWhileItServes) {
  world.configure("log = " + world.file("vhsm.log").string() + "\ngate = lease\nlease = 1s\n");
  const auto server = make();
  ASSERT_EQ(server->start(), "");
  ASSERT_EQ(visit(server->port()), "");
  const std::string name = std::string("default/tls/") + GetParam().kind;
  const auto deleted =
      world.kbs({"--config", world.file("kbs/vhsm-kbs.cnf"), "resource", "delete", name});
  ASSERT_EQ(deleted.status, 0) << deleted.err;
  EXPECT_TRUE(eventually([&] { return !visit(server->port()).empty(); })) << server->log();
  EXPECT_TRUE(eventually(
      [&] { return read_file(world.file("vhsm.log")).find(" is wiped") != std::string::npos; }));
}

TEST_P(EachServerTest, AKilledWorkerIsReplacedAndServes) {
  const auto server = make();
  ASSERT_EQ(server->start(), "");
  ASSERT_EQ(visit(server->port()), "");
  const auto workers = server->workers();
  ASSERT_FALSE(workers.empty());
  if (GetParam().server == std::string("haproxy")) {
    ::kill(workers[0], SIGKILL);  // HAProxy's master ends with its worker, unless told otherwise
    EXPECT_TRUE(eventually([&] { return server->workers().empty(); }));
    return;
  }
  for (const pid_t worker : workers) ::kill(worker, SIGSEGV);
  EXPECT_TRUE(eventually([&] {
    const auto now = server->workers();
    return now.size() == workers.size() && now != workers;
  }));
  EXPECT_EQ(visit(server->port()), "") << server->log();
}

INSTANTIATE_TEST_SUITE_P(Debian, EachServerTest, each_server(), case_name);

TEST_F(ServersTest, NginxServesThroughABinaryUpgrade) {
  Nginx nginx(world, make_identity(world, "ec"));
  ASSERT_EQ(nginx.start(), "");
  Load load(nginx.port(), 2);
  EXPECT_TRUE(nginx.upgrade()) << nginx.log();
  load.stop();
  EXPECT_THAT(load.failures(), IsEmpty()) << nginx.log();
  EXPECT_EQ(visit(nginx.port()), "");
}

/// How often the folder has been changed: its index is named after that.
long generation_of(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("index.")) return std::stol(name.substr(6));
  }
  return 0;
}

TEST_F(ServersTest, WorkersThatOwnTheFolderBringTheirRenewalsToTheCopies) {
  const auto copies = world.file("copies");
  std::filesystem::create_directory(copies);
  const passwd* const user = ::getpwnam("www-data");
  ASSERT_NE(user, nullptr);
  ASSERT_EQ(::chown(copies.c_str(), user->pw_uid, user->pw_gid), 0);
  ASSERT_EQ(::chmod(copies.c_str(), 0700), 0);
  world.configure("log = " + world.file("vhsm.log").string() +
                  "\ngate = lease\nlease = 2s\noffline_grace = 1h\noffline_copies = dir:" +
                  copies.string() + "\n");
  const auto nginx = make("nginx", "ec");
  ASSERT_EQ(nginx->start(), "");
  ASSERT_EQ(visit(nginx->port()), "") << nginx->log();
  const long before = generation_of(copies);
  EXPECT_GT(before, 1);
  EXPECT_TRUE(eventually([&] { return generation_of(copies) > before + 2; })) << before;
  EXPECT_EQ(read_file(world.file("vhsm.log")).find("no sealed copy"), std::string::npos);
}

TEST_F(ServersTest, NewNginxTakesTheUriItself) {
  if (Nginx::version() < std::pair(1, 29)) GTEST_SKIP() << "nginx takes URIs from 1.29 on";
  Nginx nginx(world, make_identity(world, "ec"), "\"store:vhsm:default/tls/ec\"");
  ASSERT_EQ(nginx.start(), "");
  EXPECT_EQ(visit(nginx.port()), "") << nginx.log();
  nginx.reload();
  EXPECT_EQ(visit(nginx.port()), "") << nginx.log();
}

TEST_F(ServersTest, Tls12KeyTransportWorksUnderNginx) {
  Nginx nginx(world, make_identity(world, "rsa"));
  ASSERT_EQ(nginx.start(), "");
  EXPECT_EQ(visit(nginx.port(), {TLS1_2_VERSION, "AES128-SHA256:AES128-GCM-SHA256"}), "")
      << nginx.log();
}

}  // namespace
}  // namespace vhsm::tests
