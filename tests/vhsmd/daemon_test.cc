// SPDX-License-Identifier: Apache-2.0
//
// vhsmd as its users run it: the real program, a real KBS, stock openssl and nginx as clients.
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/handle.h"
#include "tests/keystore/samples.h"
#include "tests/residue/note.h"
#include "tests/residue/scan.h"
#include "tests/residue/values.h"
#include "tests/servers/load.h"
#include "tests/servers/server.h"

namespace vhsm::tests {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kVhsm = std::string(VHSM_BIN_DIR) + "/vhsm";
const std::string kVhsmd = std::string(VHSM_BIN_DIR) + "/vhsmd";

class DaemonTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(World::has_daemon()) << "run with VHSM_TEST_KEYSTORE=unix";
    ASSERT_TRUE(world.ready());
    if (::geteuid() != 0) GTEST_SKIP() << "only root can be several users";
    key = keystore::make_key("RSA2048");
    world.put("default/tls/www", keystore::pkcs8_pem(key.get()));
    world.put("default/tls/other", keystore::pkcs8_pem(keystore::make_key("P-256").get()));
    write_file(world.file("message"), "what is signed\n");
    world.configure("log = " + world.file("vhsm.log").string() + "\n");
  }

  [[nodiscard]] Outcome sign(const std::string& name,
                             const std::vector<std::string>& as = {}) const {
    std::vector<std::string> command(as);
    command.insert(command.end(),
                   {"openssl", "pkeyutl", "-provider", "vhsm", "-sign", "-inkey", "vhsm:" + name,
                    "-rawin", "-in", world.file("message"), "-out", "/dev/null"});
    return run(command, environment());
  }
  [[nodiscard]] Outcome vhsm(std::vector<std::string> arguments,
                             const std::vector<std::string>& as = {}) const {
    arguments.insert(arguments.begin(), public_copy(kVhsm));
    arguments.insert(arguments.begin(), as.begin(), as.end());
    return run(arguments, environment());
  }
  /// A copy where every user comes to: the build may lie in root's home.
  [[nodiscard]] std::string public_copy(const std::filesystem::path& file) const {
    const auto copy = world.file("public") / file.filename();
    std::filesystem::create_directory(world.file("public"));
    std::filesystem::copy_file(file, copy, std::filesystem::copy_options::skip_existing);
    return copy;
  }
  [[nodiscard]] std::vector<std::string> environment() const {
    static_cast<void>(public_copy(std::string(VHSM_LIB_DIR) + "/vhsm.so"));
    auto all = world.environment();
    std::erase_if(all, [](const auto& entry) { return entry.starts_with("OPENSSL_MODULES="); });
    all.push_back("OPENSSL_MODULES=" + world.file("public").string());
    return all;
  }
  static std::vector<std::string> user(int uid, int gid = 65534) {
    return {"setpriv", "--reuid=" + std::to_string(uid), "--regid=" + std::to_string(gid),
            "--clear-groups"};
  }
  [[nodiscard]] long audited(const std::string& what) const {
    const std::string lines =
        world.kbs({"--config", world.file("kbs/vhsm-kbs.cnf"), "audit", "list"}).out;
    long count = 0;
    std::istringstream each(lines);
    for (std::string line; std::getline(each, line);) count += line.find(what) != std::string::npos;
    return count;
  }
  /// The value of `name` in the daemon's /proc/PID/status.
  [[nodiscard]] std::string process_status(const std::string& name) const {
    std::istringstream lines(read_file("/proc/" + std::to_string(world.daemon()) + "/status"));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
    }
    return {};
  }

  /// Not a window of it, in all that can be read of vhsmd.
  void expect_nothing_of(EVP_PKEY* secret) const {
    const Report report = scan({.process = world.daemon()}, values_of_key(secret));
    EXPECT_EQ(report.error, "");
    EXPECT_GT(report.bytes, 1U << 20);
    EXPECT_THAT(report.leaks(), IsEmpty());
    EXPECT_THAT(report.protected_memory, IsEmpty()) << "memfd_secret is out of everyone's reach";
    EXPECT_THAT(report.unreadable, Contains(HasSubstr("secretmem")));
    note({"vhsmd", EVP_PKEY_is_a(secret, "RSA") == 1 ? "RSA2048" : "P-256", "secret"}, report);
  }

  World world;
  ossl::PKey key;
};

TEST_F(DaemonTest, TwoCommandsInARowCostOneFetch) {
  EXPECT_EQ(sign("default/tls/www").status, 0);
  EXPECT_EQ(sign("default/tls/www").status, 0);
  EXPECT_EQ(audited("default/tls/www"), 1);
  EXPECT_EQ(audited(" attest granted"), 1);
}

TEST_F(DaemonTest, FourUsersMayDoExactlyWhatTheirGrantsSay) {
  write_file(world.file("grants"), "");
  world.start_daemon();
  ASSERT_EQ(vhsm({"key", "grant", "default/tls/www", "--user", "2001"}).status, 0);
  ASSERT_EQ(vhsm({"key", "grant", "default/tls/other", "--group", "3002"}).status, 0);
  ASSERT_EQ(vhsm({"key", "grant", "--default", "--user", "2003"}).status, 0);
  struct Case {
    int user, group;
    bool www, other;
  };
  for (const Case& is : {Case{2001, 65534, true, false}, Case{2002, 3002, false, true},
                         Case{2003, 65534, true, true}, Case{2004, 65534, false, false}}) {
    EXPECT_EQ(sign("default/tls/www", user(is.user, is.group)).status == 0, is.www) << is.user;
    EXPECT_EQ(sign("default/tls/other", user(is.user, is.group)).status == 0, is.other) << is.user;
  }
}

TEST_F(DaemonTest, ARefusalSaysWhoAndWhatToDoToClientAndLog) {
  const Outcome refused = sign("default/tls/www", user(2004, 3004));
  EXPECT_THAT(refused.err, HasSubstr("not granted"));
  EXPECT_THAT(refused.err, HasSubstr("vhsm:default/tls/www"));
  EXPECT_THAT(refused.err, HasSubstr("user 2004"));
  EXPECT_THAT(refused.err, HasSubstr("vhsm key grant"));
  EXPECT_THAT(read_file(world.file("vhsm.log")), HasSubstr("user 2004"));
  EXPECT_EQ(audited("default/tls/www"), 0) << "nothing is fetched for who may not have it";
}

TEST_F(DaemonTest, GrantsOutliveARestartAndEndWhenRevoked) {
  ASSERT_EQ(vhsm({"key", "grant", "default/tls/www", "--user", "2001"}).status, 0);
  world.start_daemon();
  EXPECT_EQ(sign("default/tls/www", user(2001)).status, 0);
  EXPECT_THAT(vhsm({"key", "grants", "default/tls/www"}).out, HasSubstr("user 2001"));
  ASSERT_EQ(vhsm({"key", "revoke", "default/tls/www", "--user", "2001"}).status, 0);
  EXPECT_NE(sign("default/tls/www", user(2001)).status, 0);
  const Outcome again = vhsm({"key", "revoke", "default/tls/www", "--user", "2001"});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.err, HasSubstr("2001"));
}

TEST_F(DaemonTest, OnlyOwnersChangeGrants) {
  for (const char* const verb : {"grant", "revoke"}) {
    const Outcome refused = vhsm({"key", verb, "default/tls/www", "--user", "2001"}, user(2001));
    EXPECT_EQ(refused.status, 1);
    EXPECT_THAT(refused.err, HasSubstr("user 2001"));
  }
  EXPECT_EQ(vhsm({"key", "grants"}, user(2001)).status, 1);
}

TEST_F(DaemonTest, GivesUpWhatItDoesNotNeed) {
  const auto state = world.file("state");
  std::filesystem::create_directory(state);
  ASSERT_EQ(::chown(state.c_str(), 65534, 65534), 0);
  world.configure("grants = " + (state / "grants").string() + "\n");
  world.start_daemon({"--user", "nobody"});
  EXPECT_THAT(process_status("Uid"), HasSubstr("65534\t65534\t65534\t65534"));
  for (const char* const set : {"CapEff", "CapPrm", "CapBnd", "CapAmb"}) {
    EXPECT_EQ(process_status(set), "0000000000000000") << set;
  }
  EXPECT_EQ(process_status("NoNewPrivs"), "1");
  EXPECT_EQ(process_status("Seccomp"), "2");
  struct stat memory {};
  ASSERT_EQ(::stat(("/proc/" + std::to_string(world.daemon()) + "/mem").c_str(), &memory), 0);
  EXPECT_EQ(memory.st_uid, 0U) << "not dumpable: its memory belongs to root";
  EXPECT_EQ(sign("default/tls/www").status, 0);
  EXPECT_EQ(vhsm({"key", "grant", "default/tls/www", "--user", "2001"}).status, 0);
  EXPECT_EQ(sign("default/tls/www", user(2001)).status, 0);
}

TEST_F(DaemonTest, NothingOfAKeyIsInItsMemory) {
  for (int i = 0; i < 8; ++i) EXPECT_EQ(sign("default/tls/www").status, 0);
  expect_nothing_of(key.get());
}

TEST_F(DaemonTest, DoctorAndKeyShowSpeakToIt) {
  EXPECT_EQ(sign("default/tls/www").status, 0);
  const Outcome doctor = vhsm({"doctor"});
  EXPECT_THAT(doctor.out, HasSubstr("process " + std::to_string(world.daemon())));
  EXPECT_THAT(doctor.out, HasSubstr("1 keys"));
  EXPECT_THAT(doctor.out, Not(HasSubstr("KBS ")));
  EXPECT_THAT(vhsm({"key", "show", "default/tls/www"}).out, HasSubstr("vhsmd"));
  world.stop_daemon(SIGTERM);
  const Outcome without = vhsm({"doctor"});
  EXPECT_EQ(without.status, 1);
  EXPECT_THAT(without.out, HasSubstr("start vhsmd"));
}

TEST_F(DaemonTest, WhatTheKbsRefusesReachesTheClient) {
  EXPECT_THAT(sign("default/tls/nobody").err, HasSubstr("missing"));
  world.stop_kbs();
  const Outcome down = sign("default/tls/www");
  EXPECT_NE(down.status, 0);
  EXPECT_THAT(down.err, HasSubstr("unreachable"));
  world.start_kbs();
  EXPECT_TRUE(eventually([&] { return sign("default/tls/www").status == 0; }));
  world.stop_kbs();
  EXPECT_EQ(sign("default/tls/www").status, 0) << "Case A needs no KBS";
}

TEST_F(DaemonTest, AMessageOfAGigabyteDoesNotCrossTheSocket) {
  const auto big = world.file("big");
  std::ofstream(big).close();
  std::filesystem::resize_file(big, std::uintmax_t{1} << 30);
  const auto read_bytes = [&] {
    std::istringstream io(read_file("/proc/" + std::to_string(world.daemon()) + "/io"));
    std::string name;
    long bytes = 0;
    io >> name >> bytes;
    return bytes;
  };
  EXPECT_EQ(sign("default/tls/www").status, 0);
  const long before = read_bytes();
  const Outcome signed_ =
      world.openssl({"dgst", "-sha256", "-provider", "vhsm", "-provider", "default", "-sign",
                     "vhsm:default/tls/www", "-out", "/dev/null", big.string()});
  EXPECT_EQ(signed_.status, 0) << signed_.err;
  EXPECT_LT(read_bytes() - before, 1 << 20);
}

TEST_F(DaemonTest, ASecondOneDoesNotTakeTheSocketByAccident) {
  const Outcome second = run({kVhsmd, "--config", world.file("vhsm.cnf")});
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.err, HasSubstr("--take-over"));
  EXPECT_EQ(sign("default/tls/www").status, 0);
}

TEST_F(DaemonTest, ASuccessorThatCannotHaveTheKeysLeavesThePredecessorAlone) {
  EXPECT_EQ(sign("default/tls/www").status, 0);
  world.stop_kbs();
  const Outcome second = run({kVhsmd, "--config", world.file("vhsm.cnf"), "--take-over"});
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.err, HasSubstr("default/tls/www"));
  EXPECT_EQ(sign("default/tls/www").status, 0);
}

TEST_F(DaemonTest, SaysWhatIsMissingInItsConfiguration) {
  write_file(world.file("vhsm.cnf"), "[vhsm]\nplatform = none\n");
  const Outcome outcome = run({kVhsmd, "--config", world.file("vhsm.cnf")});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("keystore = unix:PATH"));
  EXPECT_EQ(run({kVhsmd, "--nonsense"}).status, 2);
}

TEST_F(DaemonTest, TellsItsSupervisorThatItIsReadyAndAlive) {
  const std::string path = world.file("notify");
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  ::setenv("WATCHDOG_USEC", "400000", 1);
  world.start_daemon();
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("WATCHDOG_USEC");
  std::string told;
  int beats = 0;
  for (char message[256]; beats < 3;) {
    const timeval patience{5, 0};
    ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const ssize_t size = ::recv(socket, message, sizeof message, 0);
    ASSERT_GT(size, 0) << told;
    const std::string one(message, static_cast<std::size_t>(size));
    beats += one == "WATCHDOG=1" || one == "WATCHDOG=1\n" ? 1 : 0;
    told += one + "\n";
  }
  EXPECT_THAT(told, HasSubstr("READY=1"));
  world.stop_daemon(SIGTERM);
  char last[256];
  ssize_t size = 0;
  while ((size = ::recv(socket, last, sizeof last, MSG_DONTWAIT)) > 0) {
    told += std::string(last, static_cast<std::size_t>(size));
  }
  EXPECT_THAT(told, HasSubstr("STOPPING=1"));
  ::close(socket);
}

TEST_F(DaemonTest, SystemdsSocketActivationStartsIt) {
  const std::string tool = "/usr/bin/systemd-socket-activate";
  if (::access(tool.c_str(), X_OK) != 0) GTEST_SKIP() << "no systemd-socket-activate here";
  world.stop_daemon(SIGTERM);
  const auto socket = world.file("run/vhsmd.sock");
  std::filesystem::remove(socket);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl(tool.c_str(), tool.c_str(), "-l", socket.c_str(), kVhsmd.c_str(), "--config",
            world.file("vhsm.cnf").c_str(), nullptr);
    ::_exit(127);
  }
  EXPECT_TRUE(eventually([&] { return std::filesystem::exists(socket); }));
  EXPECT_EQ(sign("default/tls/www").status, 0);
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(UnitTest, ThePackagedUnitExposesLittle) {
  if (::access("/usr/bin/systemd-analyze", X_OK) != 0) GTEST_SKIP() << "no systemd-analyze here";
  const Outcome judged = run({"/usr/bin/systemd-analyze", "security", "--offline=true",
                              "--threshold=20", "--no-pager", VHSM_UNIT});
  EXPECT_EQ(judged.status, 0) << "over 2.0 of 10:\n" << judged.out << judged.err;
}

/// A web server meanwhile.
class DaemonUnderLoadTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    if (IsSkipped()) return;
    nginx = std::make_unique<Nginx>(world, make_identity(world, "ec"));
    ASSERT_EQ(nginx->start(), "");
    ASSERT_EQ(visit(nginx->port()), "") << nginx->log();
  }
  std::unique_ptr<Nginx> nginx;
};

TEST_F(DaemonUnderLoadTest, NothingOfAKeyIsInItsMemory) {
  const ossl::Bio file(BIO_new_file(world.file("ec.key").c_str(), "r"));
  const ossl::PKey served(PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr, nullptr));
  const Load load(nginx->port(), 2);
  ASSERT_TRUE(eventually([&] { return load.visits() > 100; }));
  expect_nothing_of(served.get());
}

TEST_F(DaemonUnderLoadTest, NoHandshakeFailsWhenItIsKilledAndStartedAgain) {
  Load load(nginx->port(), 2);
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    world.stop_daemon(SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    world.start_daemon();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  load.stop();
  EXPECT_THAT(load.failures(), IsEmpty()) << nginx->log();
  EXPECT_GT(load.visits(), 100);
  RecordProperty("slowest_ms", static_cast<int>(load.slowest().count()));
  EXPECT_LT(load.slowest(), std::chrono::seconds(2)) << "0.2 s where nothing else runs";
}

TEST_F(DaemonUnderLoadTest, NoHandshakeFailsWhenASuccessorTakesOver) {
  Load load(nginx->port(), 2);
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_EQ(world.succeed_daemon(), 0);
  }
  load.stop();
  EXPECT_THAT(load.failures(), IsEmpty()) << nginx->log();
  EXPECT_GT(load.visits(), 100);
}

TEST_F(DaemonUnderLoadTest, WithoutItHandshakesFailAtOnceAndWorkWhenItIsBack) {
  world.stop_daemon(SIGTERM);
  EXPECT_THAT(visit(nginx->port()), HasSubstr(" alert "));
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 8; ++i) EXPECT_NE(visit(nginx->port()), "");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15))
      << "each of the four workers is patient once, not at all eight visits";
  world.start_daemon();
  EXPECT_TRUE(eventually([&] { return visit(nginx->port()).empty(); })) << nginx->log();
}

}  // namespace
}  // namespace vhsm::tests
