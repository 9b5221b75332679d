// SPDX-License-Identifier: Apache-2.0
//
// systemd's protocols against sockets that play systemd.
// Sources: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).
#include "vhsmd/systemd.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>

#include "tests/base/temp_dir.h"

namespace vhsm::vhsmd {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using test::TempDir;

constexpr std::array kVariables{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES"};

void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }

std::string this_process() { return std::to_string(::getpid()); }

/// @param path  '@' and an abstract name, or a file's.
int bound_socket(int type, const std::string& path) {
  const int socket = ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (path.starts_with('@')) address.sun_path[0] = '\0';
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  EXPECT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), bytes), 0) << path;
  return socket;
}

/// The end of NOTIFY_SOCKET that systemd holds.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& path) : socket_(bound_socket(SOCK_DGRAM, path)) {
    set("NOTIFY_SOCKET", path);
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;
  ~NotifySocket() { ::close(socket_); }

  /// The next message; empty when there is none.
  [[nodiscard]] std::string next() const {
    std::array<char, 4096> text{};
    const ssize_t size = ::recv(socket_, text.data(), text.size(), MSG_DONTWAIT);
    return {text.data(), size < 0 ? 0 : static_cast<std::size_t>(size)};
  }

 private:
  int socket_;
};

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() { clear(); }
  ~SupervisorTest() override { clear(); }

  [[nodiscard]] std::string path() const { return folder_.file("notify"); }

 private:
  static void clear() {
    for (const char* name : kVariables) ::unsetenv(name);
  }
  TempDir folder_;
};

// ---- NOTIFY_SOCKET ---------------------------------------------------------------------------

TEST_F(SupervisorTest, TellsTheNotifySocketThatItIsReady) {
  const NotifySocket systemd(path());
  Supervisor().ready("serving 3 keys");
  EXPECT_EQ(systemd.next(), "READY=1\nSTATUS=serving 3 keys");
}

TEST_F(SupervisorTest, TellsStatusLifeAndEndOneMessageEach) {
  const NotifySocket systemd(path());
  const Supervisor supervisor;
  supervisor.status("attested");
  supervisor.alive();
  supervisor.stopping();
  EXPECT_EQ(systemd.next(), "STATUS=attested");
  EXPECT_EQ(systemd.next(), "WATCHDOG=1");
  EXPECT_EQ(systemd.next(), "STOPPING=1");
  EXPECT_EQ(systemd.next(), "");
}

TEST_F(SupervisorTest, AStatusCannotSmuggleAnotherAssignment) {
  const NotifySocket systemd(path());
  Supervisor().status("key\nMAINPID=1\r\tx");
  EXPECT_EQ(systemd.next(), "STATUS=key MAINPID=1  x");
}

TEST_F(SupervisorTest, FindsAnAbstractSocket) {
  const NotifySocket systemd("@vhsm-systemd-test-" + this_process());
  Supervisor().alive();
  EXPECT_EQ(systemd.next(), "WATCHDOG=1");
}

TEST_F(SupervisorTest, NeverBlocksOnASupervisorThatDoesNotRead) {
  const NotifySocket systemd(path());
  const Supervisor supervisor;
  const auto start = steady_clock::now();
  for (int i = 0; i < 5000; ++i) supervisor.alive();
  EXPECT_LT(steady_clock::now() - start, seconds(2));
  EXPECT_EQ(systemd.next(), "WATCHDOG=1");
}

TEST_F(SupervisorTest, OutlivesASupervisorThatIsGone) {
  std::optional<NotifySocket> systemd(std::in_place, path());
  const Supervisor supervisor;
  systemd.reset();
  supervisor.alive();  // SIGPIPE would end this test
}

TEST_F(SupervisorTest, AnAddressOfNoKnownFormIsNotWrittenTo) {
  for (const std::string& address :
       {std::string(), std::string("/"), std::string("@"), std::string("relative"),
        std::string("vsock:2:1234"), "/" + std::string(200, 'x')}) {
    set("NOTIFY_SOCKET", address);
    Supervisor().ready("");
  }
}

TEST_F(SupervisorTest, LeavesNothingForChildrenToInherit) {
  for (const char* name : kVariables) set(name, "1");
  const Supervisor supervisor;
  for (const char* name : kVariables) EXPECT_EQ(std::getenv(name), nullptr) << name;
}

// ---- WATCHDOG_USEC ---------------------------------------------------------------------------

TEST_F(SupervisorTest, IsAliveTwiceInEachPeriodOfTheWatchdog) {
  set("WATCHDOG_USEC", "30000000");
  EXPECT_EQ(Supervisor().watchdog_period(), microseconds(15000000));
  set("WATCHDOG_USEC", "30000000");
  set("WATCHDOG_PID", this_process());
  EXPECT_EQ(Supervisor().watchdog_period(), microseconds(15000000));
}

TEST_F(SupervisorTest, AnotherProcessesWatchdogIsNone) {
  for (const std::string& pid : {std::to_string(::getppid()), std::string("x"), std::string()}) {
    set("WATCHDOG_USEC", "30000000");
    set("WATCHDOG_PID", pid);
    EXPECT_EQ(Supervisor().watchdog_period(), std::nullopt) << pid;
  }
}

TEST_F(SupervisorTest, APeriodThatIsNoNumberIsNone) {
  EXPECT_EQ(Supervisor().watchdog_period(), std::nullopt);
  for (const char* period : {"", "0", "1", "-5", "30s", " 30", "99999999999999999999999"}) {
    set("WATCHDOG_USEC", period);
    EXPECT_EQ(Supervisor().watchdog_period(), std::nullopt) << period;
  }
}

// ---- LISTEN_FDS ------------------------------------------------------------------------------

/// Started by systemd with `descriptor` as its first: what does `claim` say? In a child, as the
/// first is number 3, which this process has in use.
bool holds_when_started_with(int descriptor, const std::string& count,
                             const std::function<bool(const Supervisor&)>& claim) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (descriptor == 3) ::fcntl(3, F_SETFD, 0);
    if (descriptor >= 0 && descriptor != 3) ::dup2(descriptor, 3);
    set("LISTEN_PID", this_process());
    set("LISTEN_FDS", count);
    set("LISTEN_FDNAMES", "vhsmd.socket");
    ::_exit(claim(Supervisor()) ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool is_refused(const Supervisor& supervisor) {
  const auto socket = supervisor.listening_socket();
  return !socket.ok() && socket.error().code == Errc::kBadConfig && !socket.error().subject.empty();
}

bool is_number_3_closed_on_exec(const Supervisor& supervisor) {
  const auto socket = supervisor.listening_socket();
  return socket.ok() && socket.value() == 3 && ::fcntl(3, F_GETFD) == FD_CLOEXEC;
}

bool has_none(const Supervisor& supervisor) {
  const auto socket = supervisor.listening_socket();
  return socket.ok() && !socket.value().has_value();
}

TEST_F(SupervisorTest, TakesTheSocketThatItWasStartedWith) {
  const int socket = bound_socket(SOCK_STREAM, path());
  ASSERT_EQ(::listen(socket, 1), 0);
  EXPECT_TRUE(holds_when_started_with(socket, "1", is_number_3_closed_on_exec));
  ::close(socket);
}

TEST_F(SupervisorTest, RefusesACountOtherThanOne) {
  const int socket = bound_socket(SOCK_STREAM, path());
  ASSERT_EQ(::listen(socket, 1), 0);
  for (const char* count : {"2", "1024", "", "one", "-1", "1 "}) {
    EXPECT_TRUE(holds_when_started_with(socket, count, is_refused)) << count;
  }
  EXPECT_TRUE(holds_when_started_with(socket, "0", has_none));
  ::close(socket);
}

struct SocketCase {
  const char* name;
  int domain;
  int type;
  bool listens;
};

class RefusedSocketTest : public SupervisorTest,
                          public ::testing::WithParamInterface<SocketCase> {};

TEST_P(RefusedSocketTest, IsRefused) {
  const int socket = ::socket(GetParam().domain, GetParam().type | SOCK_CLOEXEC, 0);
  ASSERT_GE(socket, 0);
  ASSERT_TRUE(!GetParam().listens || ::listen(socket, 1) == 0);
  EXPECT_TRUE(holds_when_started_with(socket, "1", is_refused));
  ::close(socket);
}

INSTANTIATE_TEST_SUITE_P(Sockets, RefusedSocketTest,
                         ::testing::Values(SocketCase{"Tcp", AF_INET, SOCK_STREAM, true},
                                           SocketCase{"Datagram", AF_UNIX, SOCK_DGRAM, false},
                                           SocketCase{"Packet", AF_UNIX, SOCK_SEQPACKET, false},
                                           SocketCase{"Deaf", AF_UNIX, SOCK_STREAM, false}),
                         [](const auto& test) { return test.param.name; });

TEST_F(SupervisorTest, RefusesAFileAndNothingAtAll) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  EXPECT_TRUE(holds_when_started_with(null, "1", is_refused));
  EXPECT_TRUE(holds_when_started_with(null, "1", [](const Supervisor& supervisor) {
    ::close(3);
    return is_refused(supervisor);
  }));
  ::close(null);
}

TEST_F(SupervisorTest, AnotherProcessesSocketIsNotTaken) {
  set("LISTEN_FDS", "1");
  set("LISTEN_PID", std::to_string(::getppid()));
  EXPECT_TRUE(has_none(Supervisor()));
  EXPECT_TRUE(has_none(Supervisor()));  // nor is there one when nobody mentions it
}

TEST_F(SupervisorTest, RefusesAProcessThatIsNoNumber) {
  set("LISTEN_FDS", "1");
  set("LISTEN_PID", "me");
  EXPECT_TRUE(is_refused(Supervisor()));
}

}  // namespace
}  // namespace vhsm::vhsmd
