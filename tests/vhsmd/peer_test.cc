// SPDX-License-Identifier: Apache-2.0
//
// Who is at the other end: real sockets and processes, with a /proc of the test's own where a unit
// is to be told, as no test may move itself to another cgroup.
#include "keystore/daemon/peer.h"

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <sstream>
#include <thread>

#include "tests/base/temp_dir.h"

namespace vhsm::keystore {
namespace {

using testing::UnorderedElementsAreArray;

constexpr uid_t kUser = 33;
constexpr gid_t kGroup = 34;
constexpr const char* kNginx = "0::/system.slice/nginx.service\n";

std::string slurp(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class Socket {
 public:
  explicit Socket(int number) : number_(number) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

/// A listener at an abstract address, which needs no permission of a folder.
class Listener {
 public:
  Listener() : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sa_family_t family = AF_UNIX;  // autobind, unix(7)
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&family), sizeof(family)), 0);
    EXPECT_EQ(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address_), &size_), 0);
    EXPECT_EQ(::listen(socket_.get(), 8), 0);
  }
  /// Async-signal-safe, for children.
  [[nodiscard]] int connect() const {
    const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::connect(client, reinterpret_cast<const sockaddr*>(&address_), size_) != 0) return -1;
    return client;
  }
  [[nodiscard]] int accept() const {
    return ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC);
  }

 private:
  Socket socket_;
  sockaddr_un address_{};
  socklen_t size_ = sizeof(address_);
};

/// A process that connects and then waits for its end.
class Client {
 public:
  explicit Client(const Listener& listener, const std::function<bool()>& before = {},
                  const std::function<bool()>& after = {}) {
    std::array<int, 2> ready{};
    EXPECT_EQ(::pipe(ready.data()), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      if (before && !before()) ::_exit(1);
      if (listener.connect() < 0) ::_exit(2);
      if (after && !after()) ::_exit(3);
      if (::write(ready[1], "", 1) != 1) ::_exit(4);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1) << "the child did not connect";
    ::close(ready[0]);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { reap(); }

  void kill() const {
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  void reap() {
    if (pid_ <= 0) return;
    kill();
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

bool become(uid_t uid, gid_t gid, const std::vector<gid_t>& groups) {
  return ::setgroups(groups.size(), groups.data()) == 0 && ::setresgid(gid, gid, gid) == 0 &&
         ::setresuid(uid, uid, uid) == 0;
}

bool has_pidfd() {
  std::array<int, 2> pair{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  const Socket one(pair[0]);
  const Socket other(pair[1]);
  int number = -1;
  socklen_t size = sizeof(number);
  const bool has = ::getsockopt(one.get(), SOL_SOCKET, 77, &number, &size) == 0;
  const Socket pidfd(number);
  return has;
}

/// A /proc with the cgroup that a test wants, and the true stat.
class FakeProc {
 public:
  void add(pid_t pid, const std::string& cgroup) const {
    const std::string folder = std::to_string(pid);
    std::filesystem::create_directory(folder_.file(folder));
    (void)folder_.write(folder + "/cgroup", cgroup);
    (void)folder_.write(folder + "/stat", slurp("/proc/" + folder + "/stat"));
  }
  void set_stat(pid_t pid, const std::string& text) const {
    (void)folder_.write(std::to_string(pid) + "/stat", text);
  }
  [[nodiscard]] PeerLook look() const { return {folder_.file(""), std::nullopt, true}; }
  /// As on a kernel before 6.5.
  [[nodiscard]] PeerLook old_look(std::optional<std::chrono::nanoseconds> not_before) const {
    return {folder_.file(""), not_before, false};
  }

 private:
  test::TempDir folder_;
};

// ---- the unit of a cgroup ----

struct CgroupCase {
  const char* text;
  const char* unit;
};

TEST(UnitOfCgroup, IsTheFirstElementBelowTheSlices) {
  for (const CgroupCase& each : std::initializer_list<CgroupCase>{
           {kNginx, "nginx.service"},
           {"0::/nginx.service\n", "nginx.service"},
           {"0::/system.slice/nginx.service", "nginx.service"},
           {"0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"},
           {"0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"},
           {"0::/init.scope\n", "init.scope"},
           {"0::/system.slice/a\\x2db:c_d.e-f@g@h.service\n", "a\\x2db:c_d.e-f@g@h.service"},
           {"0::/system.slice/_memory.service\n", "memory.service"},
           {"0::/_cgroup.slice/__x.service\n", "_x.service"},
           {"0:://system.slice///nginx.service/\n", "nginx.service"},
       }) {
    EXPECT_EQ(unit_of_cgroup(each.text), each.unit) << each.text;
  }
}

TEST(UnitOfCgroup, CannotBeForgedBelowAUnitThatItsUserRules) {
  EXPECT_EQ(unit_of_cgroup("0::/user.slice/user-1000.slice/user@1000.service/app.slice/"
                           "nginx.service\n"),
            "user@1000.service");
  EXPECT_EQ(unit_of_cgroup("0::/system.slice/docker.service/system.slice/nginx.service\n"),
            "docker.service");
  EXPECT_EQ(unit_of_cgroup("0::/kubepods/system.slice/nginx.service\n"), "");
  EXPECT_EQ(unit_of_cgroup("0::/../system.slice/nginx.service\n"), "");
}

TEST(UnitOfCgroup, ReadsTheFirstVersionOnlyWhereTheSecondIsNotUsed) {
  const std::string legacy = "4:memory:/other.service\n1:name=systemd:/system.slice/ssh.service\n";
  EXPECT_EQ(unit_of_cgroup(legacy), "ssh.service");
  EXPECT_EQ(unit_of_cgroup(legacy + "0::/\n"), "ssh.service");
  EXPECT_EQ(unit_of_cgroup(legacy + kNginx), "nginx.service");
  EXPECT_EQ(unit_of_cgroup(kNginx + legacy), "nginx.service");
  EXPECT_EQ(unit_of_cgroup(legacy + "0::/kubepods/pod1\n"), "");
}

TEST(UnitOfCgroup, IsEmptyWhereNoUnitStands) {
  const std::string long_name(248, 'a');
  for (const std::string& text : std::initializer_list<std::string>{
           "",
           "\n",
           "0",
           "0:",
           "0::",
           "0::/",
           "0::/\n",
           "::::",
           "0::system.slice/nginx.service\n",
           "00::/nginx.service\n",
           "0:cpu:/nginx.service\n",
           "1::/nginx.service\n",
           "1:name=systemd2:/nginx.service\n",
           "0::/system.slice\n",
           "0::/system.slice/\n",
           "0::/_/nginx.service\n",
           "0::/.slice/nginx.service\n",
           "0::/a@b.slice/nginx.service\n",
           "0::/a b.slice/nginx.service\n",
           "0::/system.slice/nginx.service (deleted)\n",
           "0::/system.slice/nginx service.service\n",
           "0::/system.slice/nginx@.service\n",
           "0::/system.slice/@a.service\n",
           "0::/system.slice/.service\n",
           "0::/system.slice/.scope\n",
           "0::/system.slice/cups.socket\n",
           "0::/system.slice/nginx.service.d\n",
           std::string("0::/system.slice/ngi\0nx.service\n", 33),
           "0::/system.slice/" + long_name + ".service\n",
           "0::/system.slice/ngin\xc3\xa9.service\n",
           std::string(70000, '/'),
           kNginx + std::string(70000, '\n'),
       }) {
    EXPECT_EQ(unit_of_cgroup(text), "") << text.substr(0, 80);
  }
  EXPECT_EQ(unit_of_cgroup("0::/" + long_name.substr(1) + ".service"),
            long_name.substr(1) + ".service");
}

TEST(UnitOfCgroup, IsAUnitNameOrEmptyWhateverTheText) {
  constexpr std::string_view kAlphabet = "0:/\n@_. asystemd";
  constexpr std::array<std::string_view, 4> kPieces{".slice", ".service", "name=systemd", "0::/"};
  std::mt19937 random(1);
  int units = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string text = "0::/";
    for (auto size = random() % 12; size > 0; --size) {
      const auto pick = random() % 24;
      text += pick < 16 ? kAlphabet.substr(pick, 1) : kPieces.at(pick % 4);
    }
    const std::string unit = unit_of_cgroup(text);
    ASSERT_TRUE(unit.empty() || is_unit_name(unit)) << text;
    units += unit.empty() ? 0 : 1;
  }
  EXPECT_GT(units, 100);
}

// ---- the peer ----

TEST(Peer, IsThisProcessAtBothEndsOfASocketPair) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  const Socket one(pair[0]);
  const Socket other(pair[1]);
  std::vector<gid_t> groups(static_cast<std::size_t>(::getgroups(0, nullptr)));
  ASSERT_GE(::getgroups(static_cast<int>(groups.size()), groups.data()), 0);
  for (const int end : pair) {
    const Peer peer = identify_peer(end).value();
    EXPECT_EQ(peer.uid, ::geteuid());
    EXPECT_EQ(peer.gid, ::getegid());
    EXPECT_THAT(peer.groups, UnorderedElementsAreArray(groups));
    EXPECT_EQ(peer.pid, ::getpid());
    if (has_pidfd()) {
      EXPECT_EQ(peer.unit, unit_of_cgroup(slurp("/proc/self/cgroup")));
    }
  }
}

TEST(Peer, HasTheUserTheGroupAndTheSupplementaryGroupsOfItsProcess) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const Listener listener;
  const std::vector<gid_t> groups{7, 1000, 4000000000U};
  const Client client(listener, [&] { return become(kUser, kGroup, groups); });
  const Socket server(listener.accept());
  const Peer peer = identify_peer(server.get()).value();
  EXPECT_EQ(peer.uid, kUser);
  EXPECT_EQ(peer.gid, kGroup);
  EXPECT_THAT(peer.groups, UnorderedElementsAreArray(groups));
  EXPECT_EQ(peer.pid, client.pid());
}

TEST(Peer, HasNoOrThousandsOfGroups) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  for (const std::size_t count : {0U, 1U, 16U, 17U, 5000U}) {
    const Listener listener;
    std::vector<gid_t> groups(count);
    std::iota(groups.begin(), groups.end(), 100U);
    const Client client(listener, [&] { return become(kUser, kGroup, groups); });
    const Socket server(listener.accept());
    EXPECT_THAT(identify_peer(server.get()).value().groups, UnorderedElementsAreArray(groups));
  }
}

TEST(Peer, StaysWhoItWasWhenItConnected) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const Listener listener;
  const Client client(listener, {}, [] { return become(kUser, kGroup, {}); });
  const Socket server(listener.accept());
  EXPECT_EQ(identify_peer(server.get()).value().uid, 0U);
}

TEST(Peer, DoesNotExistOnWhatIsNoConnectedUnixSocket) {
  const Socket unconnected(::socket(AF_UNIX, SOCK_STREAM, 0));
  const Socket internet(::socket(AF_INET, SOCK_STREAM, 0));
  const Socket file(::open("/dev/null", O_RDONLY));
  for (const int number : {unconnected.get(), internet.get(), file.get(), -1}) {
    const Error error = identify_peer(number).error();
    EXPECT_EQ(error.code, Errc::kIo);
    EXPECT_STREQ(error.what.c_str(), "this connection does not tell who its peer is");
  }
}

TEST(Peer, HasItsUnitWhileItRuns) {
  if (!has_pidfd()) GTEST_SKIP() << "this kernel has no SO_PEERPIDFD (Linux 6.5)";
  const Listener listener;
  const Client client(listener);
  const FakeProc proc;
  proc.add(client.pid(), kNginx);
  const Socket server(listener.accept());
  EXPECT_EQ(identify_peer(server.get(), proc.look()).value().unit, "nginx.service");
}

TEST(Peer, HasNoUnitOnceItHasExitedThoughAnotherBearsItsPid) {
  const Listener listener;
  Client client(listener);
  const pid_t pid = client.pid();
  const FakeProc proc;
  proc.add(pid, kNginx);
  const Socket server(listener.accept());
  client.kill();
  EXPECT_EQ(identify_peer(server.get(), proc.look()).value().unit, "") << "a zombie";
  client.reap();
  const Peer peer = identify_peer(server.get(), proc.look()).value();
  EXPECT_EQ(peer.unit, "");
  EXPECT_EQ(peer.pid, pid);
  EXPECT_EQ(peer.uid, ::geteuid());
}

TEST(Peer, HasNoUnitWithoutAWholeCgroupFile) {
  const Listener listener;
  const Client client(listener);
  const FakeProc proc;
  const Socket server(listener.accept());
  EXPECT_EQ(identify_peer(server.get(), proc.look()).value().unit, "") << "no file";
  proc.add(client.pid(), kNginx + std::string(70000, '\n'));
  EXPECT_EQ(identify_peer(server.get(), proc.look()).value().unit, "") << "too large a file";
}

TEST(PeerBeforeLinux65, HasAUnitOnlyIfItRanBeforeTheConnectionExisted) {
  const auto before = boot_time();
  const Listener listener;
  const Client client(listener);
  std::this_thread::sleep_for(std::chrono::milliseconds(25));  // processes are dated in 10 ms
  const auto after = boot_time();
  const FakeProc proc;
  proc.add(client.pid(), kNginx);
  const Socket server(listener.accept());
  const auto unit_if = [&](std::optional<std::chrono::nanoseconds> not_before) {
    return identify_peer(server.get(), proc.old_look(not_before)).value().unit;
  };
  EXPECT_EQ(unit_if(after), "nginx.service");
  EXPECT_EQ(unit_if(before), "");
  EXPECT_EQ(unit_if(std::nullopt), "");
  EXPECT_EQ(unit_if(std::chrono::nanoseconds(-1)), "");
}

TEST(PeerBeforeLinux65, CannotChangeItsAgeByItsName) {
  const Listener listener;
  const Client client(listener);
  const FakeProc proc;
  proc.add(client.pid(), kNginx);
  const Socket server(listener.accept());
  const auto unit_with = [&](const std::string& stat) {
    proc.set_stat(client.pid(), stat);
    const auto look = proc.old_look(std::chrono::seconds(10));  // 1000 ticks
    return identify_peer(server.get(), look).value().unit;
  };
  const std::string head = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 ";
  EXPECT_EQ(unit_with("9 (nginx)" + head + "999 23 24\n"), "nginx.service");
  EXPECT_EQ(unit_with("9 (nginx)" + head + "1000 23 24\n"), "");
  EXPECT_EQ(unit_with("9 (x) S 1 (y)" + head + "999 23 24\n"), "nginx.service");
  EXPECT_EQ(unit_with("9 (x) S 1)" + head + "1000 23 24\n"), "");
  EXPECT_EQ(unit_with("9 (x" + head + "1 )" + head + "1000 23 24\n"), "");
  for (const char* wrong : {"", "9 (x", "9 (x)", "9 (x) S 1 2 3", ")"}) {
    EXPECT_EQ(unit_with(wrong), "") << wrong;
  }
  for (const char* wrong : {"", "-1 1", "1x 1", "99999999999999999999999 1"}) {
    EXPECT_EQ(unit_with("9 (x)" + head + wrong), "") << wrong;
  }
}

/// In a pid namespace of its own: 0 when the peer outside has neither pid nor unit.
int look_from_another_namespace(const Listener& listener, const PeerLook& look) {
  if (::unshare(CLONE_NEWPID) != 0) return 2;
  const pid_t inner = ::fork();
  if (inner == 0) {
    const auto peer = identify_peer(listener.accept(), look);
    ::_exit(peer.ok() && peer.value().pid == 0 && peer.value().unit.empty() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(inner, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

TEST(Peer, OfAnotherPidNamespaceHasNeitherPidNorUnit) {
  const Listener listener;
  const Client client(listener);
  const FakeProc proc;
  proc.add(client.pid(), kNginx);
  std::filesystem::create_directory(proc.look().proc + "/0");
  std::ofstream(proc.look().proc + "/0/cgroup") << kNginx;
  const pid_t outer = ::fork();
  if (outer == 0) ::_exit(look_from_another_namespace(listener, proc.look()));
  int status = 0;
  ASSERT_EQ(::waitpid(outer, &status, 0), outer);
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "no right to make a pid namespace here";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace vhsm::keystore
