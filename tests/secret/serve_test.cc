// SPDX-License-Identifier: Apache-2.0
//
// The socket that systemd reads key files and credentials from, a LUKS volume that it opens, and
// what the processes that give secrets out keep of them.
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/residue/scan.h"
#include "tests/secret/fixture.h"
#include "tests/servers/server.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// `vhsm secret serve`, until this goes.
class Serving {
 public:
  Serving(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
          const std::string& log) {
    std::string line = "exec env";
    for (const std::string& variable : environment) line += " '" + variable + "'";
    for (const std::string& argument : arguments) line += " '" + argument + "'";
    line += " >'" + log + "' 2>&1";
    process_ = ::fork();
    if (process_ == 0) {
      ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
      ::_exit(127);
    }
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;
  ~Serving() {
    ::kill(process_, SIGTERM);
    ::waitpid(process_, nullptr, 0);
  }
  [[nodiscard]] pid_t process() const noexcept { return process_; }

 private:
  pid_t process_ = -1;
};

class ServeTest : public SecretFlowTest {
 protected:
  void serve(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{program(), "secret", "serve", "--socket", socket_path()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    serving_ = std::make_unique<Serving>(arguments, world_.environment(), file("serve.log"));
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(socket_path()); })) << log();
  }
  [[nodiscard]] std::string socket_path() const { return file("secrets.sock"); }
  [[nodiscard]] std::string log() const { return read_file(world_.file("serve.log")); }

  /// A connection from this name in the abstract namespace, which all processes share, after their
  /// id; empty: from none.
  [[nodiscard]] int connect_as(const std::string& wanted) const {
    const std::string name = wanted.empty() ? "" : std::to_string(::getpid()) + wanted;
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un ours{};
    ours.sun_family = AF_UNIX;
    if (!name.empty()) {
      name.copy(ours.sun_path + 1, sizeof ours.sun_path - 1);
      const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
      EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&ours), size), 0);
    }
    sockaddr_un theirs{};
    theirs.sun_family = AF_UNIX;
    socket_path().copy(theirs.sun_path, sizeof theirs.sun_path - 1);
    EXPECT_EQ(::connect(socket, reinterpret_cast<sockaddr*>(&theirs), sizeof theirs), 0);
    return socket;
  }
  /// What comes over it.
  [[nodiscard]] std::string read_as(const std::string& name) const {
    const int socket = connect_as(name);
    std::string all;
    char piece[4096];
    for (ssize_t got = 0; (got = ::read(socket, piece, sizeof piece)) > 0;) {
      all.append(piece, static_cast<std::size_t>(got));
    }
    ::close(socket);
    return all;
  }

  /// LUKS2 in a file, with little memory for its key derivation.
  void make_volume(const std::string& passphrase) const {
    const auto made = shell("truncate -s 20M " + file("volume.img") +
                            " && cryptsetup luksFormat -q --type luks2 --pbkdf-memory 32 "
                            "--pbkdf-parallel 1 --pbkdf-force-iterations 4 --key-file " +
                            written("passphrase", passphrase) + " " + file("volume.img"));
    ASSERT_EQ(made.status, 0) << made.err;
  }
  [[nodiscard]] Outcome open_with(const std::string& command) const {
    return shell(command + " | cryptsetup open --test-passphrase --key-file - " +
                 file("volume.img"));
  }

  std::unique_ptr<Serving> serving_;
};

TEST_F(ServeTest, EachVolumeAndCredentialGetsItsOwn) {
  seal("default/luks/data", "of the volume");
  store("default/api/key", std::string(65536, 'c'));
  serve({"--volume", "data=default/luks/data", "--credential",
         "web.service/api-key=vhsm:default/api/key"});
  EXPECT_EQ(read_as("d7067f78d9827418/cryptsetup/data"), "of the volume");
  EXPECT_TRUE(read_as("12ab/unit/web.service/api-key") == std::string(65536, 'c')) << log();
  EXPECT_THAT(log(), HasSubstr("gave vhsm:default/luks/data to volume data"));
}

TEST_F(ServeTest, WhoDoesNotSayForWhatOrForSomethingElseGetsNothing) {
  seal("default/luks/data", "of the volume");
  must({"key", "generate", "default/key/aes", "--algorithm", "SECRET:256"});
  serve({"--volume", "data=default/luks/data", "--volume", "key=default/key/aes", "--credential",
         "web.service/data=default/luks/data"});
  for (const char* const name :
       {"", "ab/cryptsetup/other", "ab/cryptsetup-tpm2/data", "ab/unit/mail.service/data",
        "ab/unit/web.service/other", "ab/cryptsetup/key"}) {
    EXPECT_EQ(read_as(name), "") << name;
  }
  EXPECT_EQ(read_as("ab/cryptsetup/data"), "of the volume") << "and it goes on serving: " << log();
}

TEST_F(ServeTest, WhoWaitsForASecretOrDoesNotReadItKeepsNobodyOut) {
  seal("default/luks/data", "of the volume");
  store("default/luks/late", "comes late");
  world_.stop_kbs();
  serve({"--volume", "data=default/luks/data", "--volume", "late=default/luks/late", "--wait", "60",
         "--idle", "1"});
  std::string late;
  std::thread waiting([&] { late = read_as("1/cryptsetup/late"); });
  std::vector<int> unread;
  for (int i = 0; i < 20; ++i) unread.push_back(connect_as(std::to_string(i) + "/cryptsetup/data"));
  EXPECT_EQ(read_as("2/cryptsetup/other"), "");
  EXPECT_EQ(read_as("ab/cryptsetup/data"), "of the volume");
  for (const int socket : unread) ::close(socket);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  EXPECT_EQ(late, "") << "and it is not idle as long as somebody waits";
  world_.start_kbs();
  waiting.join();
  EXPECT_EQ(late, "comes late") << log();
}

TEST_F(ServeTest, AnotherUserGetsNothing) {
  seal("default/luks/data", "of the volume");
  serve({"--volume", "data=default/luks/data"});
  const std::string client = written("client.py", R"(
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind("\0%d/cryptsetup/data" % os.getpid())
try: s.connect(sys.argv[1])
except PermissionError: sys.exit(0)
sys.exit(len(s.recv(100)))
)");
  std::filesystem::permissions(world_.folder(), std::filesystem::perms(0755));
  const auto stranger =
      shell("setpriv --reuid 54321 --regid 54321 --clear-groups /usr/bin/python3 " + client + " " +
            socket_path());
  EXPECT_EQ(stranger.status, 0) << stranger.err;
  EXPECT_EQ(shell("python3 " + client + " " + socket_path()).status, 13) << "and root does";
}

TEST_F(ServeTest, ALuksVolumeOpensWithASecretFromFolderKbsAndSocket) {
  const std::string passphrase("bytes\0\xff\n of a key", 17);
  ASSERT_NO_FATAL_FAILURE(make_volume(passphrase));
  seal("default/luks/data", passphrase);
  store("default/luks/root", passphrase);
  seal("default/luks/wrong", "another passphrase");
  const std::string get = "vhsm secret get ";
  EXPECT_EQ(open_with(get + "default/luks/data").status, 0);
  EXPECT_EQ(open_with(get + "default/luks/root").status, 0);
  EXPECT_NE(open_with(get + "default/luks/wrong").status, 0);
  serve({"--volume", "data=default/luks/data"});
  write_file(world_.file("served"), read_as("ab/cryptsetup/data"));
  EXPECT_EQ(open_with("cat " + file("served")).status, 0);
}

/// Systemd's own program asks before it looks at the device mapper, or where the kernel has none.
TEST_F(ServeTest, SystemdCryptsetupReadsItsKeyFromTheSocket) {
  const std::string program = "/lib/systemd/systemd-cryptsetup";
  if (!std::filesystem::exists(program)) GTEST_SKIP() << "no " << program;
  ASSERT_NO_FATAL_FAILURE(make_volume("sesame"));
  seal("default/luks/data", "sesame");
  serve({"--volume", "vhsm-test-data=default/luks/data"});
  const auto attached =
      shell("timeout 20 " + program + " attach vhsm-test-data " + file("volume.img") + " " +
            socket_path() + " luks,headless; " + program + " detach vhsm-test-data");
  EXPECT_THAT(log(), HasSubstr("gave vhsm:default/luks/data to volume vhsm-test-data"))
      << attached.err;
}

// ----- what stays --------------------------------------------------------------------------------

TEST_F(ServeTest, WhoHasGivenASecretOutKeepsNothingOfItOutsideProtectedMemory) {
  std::string secret(64, '\0');
  for (std::size_t i = 0; i < secret.size(); ++i) {
    secret[i] = static_cast<char>(i * 151 + 83 + i * i * 7);
  }
  seal("default/luks/data", secret);
  store("default/luks/root", secret);
  serve({"--volume", "data=default/luks/data", "--volume", "root=default/luks/root"});
  ASSERT_EQ(read_as("ab/cryptsetup/data"), secret);
  ASSERT_EQ(read_as("ab/cryptsetup/root"), secret);
  const Bytes bytes(secret.begin(), secret.end());
  std::vector<pid_t> processes{serving_->process()};
  if (World::has_daemon()) processes.push_back(world_.daemon());
  for (const pid_t process : processes) {
    const Report report = scan({.process = process, .words = {}}, {{"secret", bytes}});
    EXPECT_EQ(report.error, "");
    EXPECT_GT(report.bytes, 1U << 20);
    EXPECT_THAT(report.leaks(), IsEmpty());
  }
}

/// So that the scan is one that finds: a program that was given the secret has it.
TEST_F(ServeTest, WhoHasTheSecretInItsEnvironmentIsSeenToHaveIt) {
  const std::string secret = "sesame-0123456789-open-98765-now";
  seal("default/api/key", secret);
  const Serving child(
      {program(), "secret", "run", "--env", "K=default/api/key", "--", "sleep", "20"},
      world_.environment(), file("run.log"));
  const auto started = [&] {
    return read_file("/proc/" + std::to_string(child.process()) + "/comm") == "sleep\n";
  };
  ASSERT_TRUE(eventually(started));
  const Report report = scan({.process = child.process(), .words = {}},
                             {{"secret", Bytes(secret.begin(), secret.end())}});
  EXPECT_THAT(report.leaks(), ::testing::Not(IsEmpty()));
}

}  // namespace
}  // namespace vhsm::tests
