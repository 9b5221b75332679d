// SPDX-License-Identifier: Apache-2.0
//
// vhsmd under load: an nginx has its key there, and notices nothing of what happens to vhsmd and of
// what others do to it.
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/servers/load.h"
#include "tests/vhsmd/daemon_fixture.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

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
  /// What a visit may take: a second more than where nothing happens, which this machine's other
  /// work has a say in.
  [[nodiscard]] std::chrono::milliseconds bearable() const {
    Load calm(nginx->port(), 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    calm.stop();
    return calm.slowest() + std::chrono::seconds(1);
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
  const auto longest = bearable();
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
  EXPECT_LT(load.slowest(), longest) << "0.2 s where nothing else runs";
}

/// Another user's process with 10 000 connections to vhsmd: most idle, some in the middle of a
/// message that does not end, some with garbage. It is ended by SIGKILL.
class HostileProcess {
 public:
  /// Made before the test has threads. Begins when it is told.
  explicit HostileProcess(const std::string& path) {
    EXPECT_EQ(::pipe(go_.data()) + ::pipe(done_.data()), 0);
    child_ = ::fork();
    if (child_ == 0) ::_exit(run(path));
  }
  HostileProcess(const HostileProcess&) = delete;
  HostileProcess& operator=(const HostileProcess&) = delete;
  ~HostileProcess() {
    kill();
    for (const int end : {go_[0], go_[1], done_[0], done_[1]}) ::close(end);
  }
  void begin() const { EXPECT_EQ(::write(go_[1], "x", 1), 1); }
  /// @return how many connections it got.
  [[nodiscard]] int connections() const {
    int count = 0;
    pollfd one{done_[0], POLLIN, 0};
    if (::poll(&one, 1, 30000) != 1) return -1;
    return ::read(done_[0], &count, sizeof count) == sizeof count ? count : -1;
  }
  void kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }

 private:
  static constexpr int kConnections = 10000;
  static constexpr uid_t kUser = 54321;

  [[nodiscard]] int run(const std::string& path) const {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    char begin = 0;
    if (::setgroups(0, nullptr) != 0 || ::setresgid(kUser, kUser, kUser) != 0 ||
        ::setresuid(kUser, kUser, kUser) != 0 || ::read(go_[0], &begin, 1) != 1) {
      return 1;
    }
    int count = 0;
    for (int i = 0; i < kConnections; ++i) count += connect(path, i) ? 1 : 0;
    if (::write(done_[1], &count, sizeof count) != sizeof count) return 1;
    for (;;) ::pause();
  }
  /// The socket stays open as long as the process lives.
  static bool connect(const std::string& path, int number) {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return false;
    }
    // A length and the begin of a map; a length and what is no map.
    constexpr std::array<char, 6> kHalf{0, 0, 1, 0, '\xa2', 0};
    constexpr std::array<char, 6> kGarbage{0, 0, 0, 2, '\xff', '\xff'};
    const auto& said = number % 20 == 0 ? kHalf : kGarbage;
    if (number % 10 == 0) {
      static_cast<void>(::send(socket, said.data(), said.size(), MSG_NOSIGNAL));
    }
    return true;
  }

  std::array<int, 2> go_{};
  std::array<int, 2> done_{};
  pid_t child_ = -1;
};

TEST_F(DaemonUnderLoadTest, NoHandshakeNoticesAFloodOfHungAndKilledClients) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < 16000) GTEST_SKIP() << "RLIMIT_NOFILE is too low for a flood";
  const auto longest = bearable();
  HostileProcess hostile(world.file("run/vhsmd.sock"));
  Load load(nginx->port(), 2);
  hostile.begin();
  EXPECT_EQ(hostile.connections(), 10000);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  hostile.kill();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  load.stop();
  EXPECT_THAT(load.failures(), IsEmpty()) << nginx->log();
  EXPECT_GT(load.visits(), 50);
  EXPECT_LT(load.slowest(), longest);
  RecordProperty("slowest_ms", static_cast<int>(load.slowest().count()));
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
