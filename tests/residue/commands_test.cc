// SPDX-License-Identifier: Apache-2.0
//
// The commands that secrets and data go through: each is stopped while it has what it works with.
// Nothing of that is in its ordinary memory or its core, nor in vhsmd's; nothing is in arguments,
// environments and logs.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/handle.h"
#include "tests/residue/full_pipe.h"
#include "tests/residue/host.h"
#include "tests/residue/note.h"
#include "tests/residue/scan.h"
#include "tests/residue/secret_values.h"
#include "tests/secret/fixture.h"
#include "tests/servers/server.h"

namespace vhsm::tests {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;

std::string random_text(std::size_t size, std::string_view alphabet) {
  static std::mt19937 generator{std::random_device{}()};
  std::uniform_int_distribution<std::size_t> which(0, alphabet.size() - 1);
  std::string text(size, '\0');
  for (char& c : text) c = alphabet[which(generator)];
  return text;
}

constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

std::string base64(std::string_view text) {
  std::string encoded(4 * text.size() / 3 + 4, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  encoded.resize(static_cast<std::size_t>(size));
  return encoded.substr(0, encoded.find('='));
}

/// Which files of /proc/PID, and which logs in `folder`, have the text.
std::vector<std::string> places_that_show(const std::string& text,
                                          const std::filesystem::path& folder) {
  std::vector<std::string> places;
  const auto look = [&](const std::filesystem::path& file) {
    if (read_file(file).find(text) != std::string::npos) places.push_back(file);
  };
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    look(entry.path() / "cmdline");
    look(entry.path() / "environ");
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string kind = entry.path().extension();
    if (kind == ".log" || kind == ".err" || kind == ".out") look(entry.path());
  }
  return places;
}

/// The system call that its main thread is in; -1: none.
long call_of(pid_t process) {
  const std::string text = read_file("/proc/" + std::to_string(process) + "/syscall");
  return text.empty() || text[0] == 'r' ? -1 : std::stol(text);
}
constexpr long kRead = 0;
constexpr long kSleep = 230;  // clock_nanosleep

/// A named pipe that goes on.
class EndlessPipe {
 public:
  explicit EndlessPipe(const std::string& path) {
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  }
  EndlessPipe(const EndlessPipe&) = delete;
  EndlessPipe& operator=(const EndlessPipe&) = delete;
  ~EndlessPipe() { ::close(descriptor_); }

  /// Returns when all but what a pipe holds has been read.
  void write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
      ASSERT_GT(put, 0);
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
  }
  [[nodiscard]] bool is_read() const {
    int left = -1;
    return ::ioctl(descriptor_, FIONREAD, &left) == 0 && left == 0;
  }

 private:
  int descriptor_ = -1;
};

/// The key of a file that vhsm encrypt has begun to write (docs/encrypted-files.md).
Bytes file_key(const Bytes& head, const Bytes& key) {
  constexpr std::size_t kBound = 16;
  constexpr std::size_t kNonce = 12;
  constexpr int kKey = 32;
  Bytes opened(kKey);
  const ossl::CipherCtx cipher(EVP_CIPHER_CTX_new());
  EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), head.data() + kBound);
  int size = 0;
  EVP_DecryptUpdate(cipher.get(), nullptr, &size, head.data(), kBound);
  EVP_DecryptUpdate(cipher.get(), opened.data(), &size, head.data() + kBound + kNonce, kKey);
  Bytes tag(head.begin() + kBound + kNonce + kKey, head.begin() + kBound + kNonce + kKey + 16);
  EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, 16, tag.data());
  EXPECT_EQ(EVP_DecryptFinal_ex(cipher.get(), opened.data(), &size), 1);
  return opened;
}

/// "secret" or "locked", the kinds of protected memory.
class CommandResidueTest : public SecretFlowTest,
                           public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    SecretFlowTest::SetUp();
    configure("log = " + file("vhsm.log") + "\n");
    values_ = {{"secret", bytes_of(secret_)}, {"secret, base64", bytes_of(base64(secret_))}};
  }

  [[nodiscard]] std::vector<std::string> environment() const {
    auto all = world_.environment();
    all.push_back(std::string("VHSM_MEMORY=") + GetParam());
    return all;
  }
  static std::vector<std::string> command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), program());
    return arguments;
  }

  // ----- what is looked for

  void add(const std::vector<Value>& more) {
    values_.insert(values_.end(), more.begin(), more.end());
  }
  /// A symmetric key in the folder.
  void use_key() {
    seal(kKey, key_, false);
    add(values_of_secret(bytes_of(key_)));
  }
  /// What the key works on.
  void add_text() {
    constexpr std::size_t kSample = 64;
    for (const std::size_t at : {std::size_t{0}, std::size_t{70000}}) {
      add({{"text", bytes_of(text_.substr(at, kSample))}});
    }
  }

  // ----- who is searched

  /// @param holds  it has some of it in protected memory now: there it is found.
  void expect_nothing_in(const std::string& situation, pid_t process, bool holds) const {
    const Report report = scan({.process = process, .dump = true}, values_);
    EXPECT_EQ(report.error, "");
    EXPECT_GT(report.bytes, 1U << 20);
    EXPECT_GT(report.core_bytes, 1U << 20) << report.core;
    EXPECT_THAT(report.leaks(), IsEmpty());
    if (holds && GetParam() == std::string("locked")) {
      EXPECT_THAT(report.at(Place::kProtected), Not(IsEmpty())) << "or it was too early or late";
    }
    note({situation + (World::has_daemon() ? ", keys in vhsmd" : ""), "secret", GetParam()},
         report);
    if (World::has_daemon()) {
      EXPECT_THAT(scan({.process = world_.daemon()}, values_).leaks(), IsEmpty());
    }
    for (const std::string& text : {secret_, key_}) {
      EXPECT_THAT(places_that_show(text, world_.folder()), IsEmpty());
    }
  }
  /// Calls `look` once `is_there` holds of the process.
  static void look_when(const Child& child, const std::function<bool()>& is_there,
                        const std::function<void(pid_t)>& look) {
    ASSERT_TRUE(eventually(is_there));
    look(child.process());
  }
  /// Stopped while it writes what it has to say.
  void stop_at_output(const std::vector<std::string>& what, int in,
                      const std::function<void(pid_t)>& look) const {
    FullPipe pipe(file("pipe"));
    const int out = ::open(file("pipe").c_str(), O_WRONLY | O_CLOEXEC);
    Child child(what, environment(), in, out);
    ::close(out);
    look_when(
        child, [&] { return writes(child.process()); }, look);
    static_cast<void>(pipe.drain());
    child.wait();
  }
  /// Stopped when it has read `input` and waits for more.
  void stop_at_input(const std::string& verb, std::string_view input, int out,
                     const std::function<void(pid_t)>& look) const {
    const EndlessPipe pipe(file("input"));
    const Child child(command({verb, kKey, file("input")}), environment(), -1, out);
    pipe.write(input);
    look_when(
        child, [&] { return pipe.is_read() && call_of(child.process()) == kRead; }, look);
  }

  static constexpr const char* kName = "default/residue/secret";
  static constexpr const char* kKey = "default/residue/key";
  const std::string secret_ = random_text(48, kLetters);
  const std::string key_ = random_text(32, kLetters);
  const std::string text_ = random_text(150000, kLetters);
  std::vector<Value> values_;
};

TEST_P(CommandResidueTest, OfASecretThatIsPutFromAFile) {
  const std::string plain = written("plain", secret_);
  stop_at_output(command({"secret", "put", kName, plain, "--releasable"}), -1,
                 [&](pid_t process) { expect_nothing_in("vhsm secret put FILE", process, true); });
}

TEST_P(CommandResidueTest, OfASecretThatIsPutFromAPipe) {
  const int plain = ::open(written("plain", secret_).c_str(), O_RDONLY | O_CLOEXEC);
  stop_at_output(command({"secret", "put", kName, "--releasable"}), plain,
                 [&](pid_t process) { expect_nothing_in("vhsm secret put", process, true); });
  ::close(plain);
}

TEST_P(CommandResidueTest, OfASecretThatIsGotFromTheFolderAndTheKbs) {
  seal(kName, secret_);
  store("default/residue/stored", secret_);
  for (const char* const name : {kName, "default/residue/stored"}) {
    stop_at_output(command({"secret", "get", name}), -1, [&](pid_t process) {
      expect_nothing_in(std::string("vhsm secret get ") + name, process, true);
    });
  }
}

/// The first secret is there, the second does not come.
TEST_P(CommandResidueTest, OfACommandThatIsAboutToRunWithASecret) {
  seal(kName, secret_);
  world_.stop_kbs();
  const Child child(command({"secret", "run", "--wait", "60", "--env", std::string("ONE=") + kName,
                             "--env", "TWO=default/residue/stored", "--", "sleep", "60"}),
                    environment());
  look_when(
      child, [&] { return call_of(child.process()) == kSleep; },
      [&](pid_t process) { expect_nothing_in("vhsm secret run", process, true); });
}

TEST_P(CommandResidueTest, OfAFileThatIsEncrypted) {
  use_key();
  add_text();
  const int out = ::open(file("out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  stop_at_input("encrypt", text_, out, [&](pid_t process) {
    const std::string head = read_file(file("out"));
    ASSERT_GT(head.size(), 76U);
    add(values_of_secret(file_key(bytes_of(head), bytes_of(key_))));
    expect_nothing_in("vhsm encrypt", process, true);
  });
  ::close(out);
}

TEST_P(CommandResidueTest, OfAFileThatIsDecrypted) {
  use_key();
  add_text();
  must({"encrypt", kKey, written("text", text_), "--out", file("sealed")});
  const std::string sealed = read_file(file("sealed"));
  add(values_of_secret(file_key(bytes_of(sealed), bytes_of(key_))));
  stop_at_input("decrypt", std::string_view(sealed).substr(0, sealed.size() - 100), -1,
                [&](pid_t process) { expect_nothing_in("vhsm decrypt", process, true); });
}

/// With vhsmd the text waits in ordinary memory to be sent, and the key is not here.
TEST_P(CommandResidueTest, OfAMacThatIsComputed) {
  use_key();
  if (!World::has_daemon()) add_text();
  stop_at_input("mac", text_, -1, [&](pid_t process) {
    expect_nothing_in("vhsm mac", process, !World::has_daemon());
  });
}

TEST_P(CommandResidueTest, OfTicketKeysThatAreWritten) {
  use_key();
  const std::string folder = file("tickets");
  std::filesystem::create_directory(folder);
  if (::mount("vhsm", folder.c_str(), "ramfs", 0, "mode=0700") != 0) {
    GTEST_SKIP() << "no ramfs can be mounted here";
  }
  stop_at_output(command({"ticket-keys", kKey, "--dir", folder}), -1, [&](pid_t process) {
    for (const char* const name : {"current", "previous", "next"}) {
      const std::string ticket_key = read_file(folder + "/" + name + ".key");
      EXPECT_EQ(ticket_key.size(), 80U);
      add({{name, bytes_of(ticket_key)}});
    }
    expect_nothing_in("vhsm ticket-keys", process, false);
  });
  ::umount2(folder.c_str(), MNT_DETACH);
}

INSTANTIATE_TEST_SUITE_P(Memories, CommandResidueTest, ::testing::Values("secret", "locked"),
                         [](const auto& value) { return std::string(value.param); });

// ----- that these searches find what is there
// ------------------------------------------------------

class CommandControlTest : public CommandResidueTest {};

TEST_P(CommandControlTest, AProgramWithOrdinaryMemoryIsFoundToHaveTheSecret) {
  const std::string plain = written("plain", secret_);
  stop_at_output({"dd", "if=" + plain, "status=none"}, -1, [&](pid_t process) {
    const Report report = scan({.process = process, .dump = true}, values_);
    EXPECT_EQ(report.error, "");
    const auto leaks = report.leaks();
    EXPECT_THAT(leaks, Not(IsEmpty()));
    EXPECT_TRUE(std::ranges::any_of(
        leaks, [](const Finding& finding) { return finding.place == Place::kCore; }));
    note({"dd", "secret", GetParam()}, report);
  });
}

TEST_P(CommandControlTest, ASecretInArgumentsEnvironmentOrALogIsSeen) {
  EXPECT_THAT(places_that_show(secret_, world_.folder()), IsEmpty());
  {
    const Child argument({"sh", "-c", "kill -STOP $$", secret_}, {});
    EXPECT_TRUE(eventually([&] { return places_that_show(secret_, world_.folder()).size() == 1; }));
  }
  {
    const Child variable({"sleep", "60"}, {"SECRET=" + secret_});
    EXPECT_TRUE(eventually([&] { return places_that_show(secret_, world_.folder()).size() == 1; }));
  }
  write_file(world_.file("any.log"), "the secret is " + secret_);
  EXPECT_THAT(places_that_show(secret_, world_.folder()), ::testing::SizeIs(1));
}

INSTANTIATE_TEST_SUITE_P(Memories, CommandControlTest, ::testing::Values("file"),
                         [](const auto& value) { return std::string(value.param); });

}  // namespace
}  // namespace vhsm::tests
