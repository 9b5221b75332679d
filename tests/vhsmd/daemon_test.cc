// SPDX-License-Identifier: Apache-2.0
//
// What vhsmd does for whom, and how it is started.
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/vhsmd/daemon_fixture.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A program beside the test.
class Background {
 public:
  explicit Background(std::vector<std::string> command) : process_(::fork()) {
    if (process_ != 0) return;
    std::vector<char*> argv;
    for (std::string& argument : command) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background() {
    if (!ended_) ::kill(process_, SIGKILL);
  }
  [[nodiscard]] pid_t process() const noexcept { return process_; }
  /// Tells `whom` to end.  @return how it ended.
  [[nodiscard]] int end(pid_t whom) const {
    ::kill(whom, SIGTERM);
    int status = -1;
    ::waitpid(process_, &status, 0);
    ended_ = true;
    return status;
  }

 private:
  pid_t process_;
  mutable bool ended_ = false;
};

/// A control group as systemd makes it for a service, where this machine lets us.
class ServiceGroup {
 public:
  explicit ServiceGroup(const std::string& unit) {
    for (const char* const root : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}) {
      slice_ = std::string(root) + "/system.slice";
      folder_ = slice_ + "/" + unit;
      made_slice_ = ::mkdir(slice_.c_str(), 0755) == 0;
      if (::mkdir(folder_.c_str(), 0755) == 0 && ::access(members().c_str(), W_OK) == 0) return;
      leave();
    }
  }
  ServiceGroup(const ServiceGroup&) = delete;
  ServiceGroup& operator=(const ServiceGroup&) = delete;
  ~ServiceGroup() { leave(); }
  [[nodiscard]] bool ok() const noexcept { return !folder_.empty(); }
  /// What goes before a command to have it in the group.
  [[nodiscard]] std::vector<std::string> enter() const {
    return {"sh", "-c", R"(echo $$ > "$0" && exec "$@")", members()};
  }

 private:
  [[nodiscard]] std::string members() const { return folder_ + "/cgroup.procs"; }
  void leave() {
    ::rmdir(folder_.c_str());
    if (made_slice_) ::rmdir(slice_.c_str());
    folder_.clear();
  }

  std::string slice_;
  std::string folder_;
  bool made_slice_ = false;
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

TEST_F(DaemonTest, AUnitMayUseTheKeyThatItWasGrantedAndOthersOfItsUserMayNot) {
  const std::string unit = "vhsm-" + std::to_string(::getpid()) + ".service";
  const ServiceGroup group(unit);
  if (!group.ok()) GTEST_SKIP() << "no control groups (v2) may be made here";
  const auto sign_as = [&](std::vector<std::string> before) {
    const auto as_user = user(2001);
    before.insert(before.end(), as_user.begin(), as_user.end());
    return sign("default/tls/www", before);
  };
  ASSERT_EQ(vhsm({"key", "grant", "default/tls/www", "--unit", unit}).status, 0);
  const Outcome within = sign_as(group.enter());
  EXPECT_EQ(within.status, 0) << within.err;
  EXPECT_THAT(sign_as({}).err, HasSubstr("user 2001"));
  ASSERT_EQ(vhsm({"key", "revoke", "default/tls/www", "--unit", unit}).status, 0);
  EXPECT_THAT(sign_as(group.enter()).err, HasSubstr("unit " + unit));
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
  const std::string log = read_file(world.file("vhsm.log"));
  EXPECT_THAT(log, HasSubstr("user 0 grants vhsm:default/tls/www for user 2001"));
  EXPECT_THAT(log, HasSubstr("user 0 revokes vhsm:default/tls/www for user 2001"));
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
  const Background daemon({tool, "-l", socket, kVhsmd, "--config", world.file("vhsm.cnf")});
  EXPECT_TRUE(eventually([&] { return std::filesystem::exists(socket); }));
  EXPECT_EQ(sign("default/tls/www").status, 0);
  EXPECT_EQ(daemon.end(daemon.process()), 0);
}

TEST_F(DaemonTest, ServesInAContainerWithoutSystemdAsItsFirstProcess) {
  const std::vector<std::string> container{"unshare", "--mount", "--ipc",       "--uts",
                                           "--pid",   "--fork",  "--mount-proc"};
  auto tried = container;
  tried.emplace_back("true");
  if (run(tried).status != 0) GTEST_SKIP() << "no name spaces may be made here";
  world.stop_daemon(SIGTERM);
  auto command = container;
  command.insert(command.end(), {kVhsmd, "--config", world.file("vhsm.cnf")});
  const Background daemon(command);
  const auto signs = [&](const std::vector<std::string>& as) {
    return sign("default/tls/www", as).status == 0;
  };
  EXPECT_TRUE(eventually([&] { return signs({}); }));
  EXPECT_FALSE(signs(user(2001)));
  ASSERT_EQ(vhsm({"key", "grant", "default/tls/www", "--user", "2001"}).status, 0);
  EXPECT_TRUE(signs(user(2001)));
  EXPECT_THAT(vhsm({"doctor"}).out, HasSubstr("process 1"));
  ASSERT_FALSE(children_of(daemon.process()).empty());
  EXPECT_EQ(daemon.end(children_of(daemon.process())[0]), 0);
}

TEST(UnitTest, ThePackagedUnitExposesLittle) {
  if (::access("/usr/bin/systemd-analyze", X_OK) != 0) GTEST_SKIP() << "no systemd-analyze here";
  const Outcome judged = run({"/usr/bin/systemd-analyze", "security", "--offline=true",
                              "--threshold=20", "--no-pager", VHSM_UNIT});
  EXPECT_EQ(judged.status, 0) << "over 2.0 of 10:\n" << judged.out << judged.err;
}

}  // namespace
}  // namespace vhsm::tests
