// SPDX-License-Identifier: Apache-2.0
//
// vhsm encrypt, decrypt and mac, with keys that stay where they are.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/secret/fixture.h"

namespace vhsm::tests {
namespace {

using ::testing::HasSubstr;

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 + i / 251);
  return text;
}

bool has_nameless_files(const std::filesystem::path& folder) {
  const int file = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (file >= 0) ::close(file);
  return file >= 0;
}

class CryptFlowTest : public SecretFlowTest {
 protected:
  void SetUp() override {
    SecretFlowTest::SetUp();
    must({"key", "generate", "default/key/file", "--algorithm", "SECRET:256"});
  }
};

TEST_F(CryptFlowTest, AFileComesBackThroughPipesAndFiles) {
  const std::string text = pattern(200'000);
  const std::string in = written("plain", text);
  must({"encrypt", "default/key/file", in, "--out", file("sealed")});
  EXPECT_EQ(read_file(world_.file("sealed")).find(text.substr(0, 32)), std::string::npos);
  must({"decrypt", "default/key/file", file("sealed"), "--out", file("back")});
  EXPECT_TRUE(read_file(world_.file("back")) == text);
  const auto piped = shell("vhsm encrypt default/key/file <" + in +
                           " | vhsm decrypt default/key/file | cmp - " + in);
  EXPECT_EQ(piped.status, 0) << piped.err;
}

TEST_F(CryptFlowTest, AKeyFromTheKbsDoesTheSame) {
  world_.put("default/key/kbs", std::string(32, 'k'));
  const auto piped =
      shell("printf text | vhsm encrypt default/key/kbs | vhsm decrypt default/key/kbs");
  EXPECT_EQ(piped.out, "text") << piped.err;
}

TEST_F(CryptFlowTest, WhatWasEncryptedBeforeARotationIsStillDecrypted) {
  must({"encrypt", "default/key/file", written("plain", "before"), "--out", file("old")});
  must({"key", "rotate", "default/key/file"});
  must({"encrypt", "default/key/file", written("plain", "after"), "--out", file("new")});
  EXPECT_EQ(vhsm({"decrypt", "default/key/file", file("old")}).out, "before");
  EXPECT_EQ(vhsm({"decrypt", "default/key/file", file("new")}).out, "after");
}

TEST_F(CryptFlowTest, AFileThatWasChangedLeavesNoOutputAndOnAPipeOnlyItsBeginning) {
  const std::string text = pattern(200'000);
  must({"encrypt", "default/key/file", written("plain", text), "--out", file("sealed")});
  std::string sealed = read_file(world_.file("sealed"));
  sealed[150'000] = static_cast<char>(sealed[150'000] ^ 1);
  const std::string changed = written("changed", sealed);
  const auto refused = vhsm({"decrypt", "default/key/file", changed, "--out", file("back")});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("changed or cut off"));
  EXPECT_FALSE(std::filesystem::exists(world_.file("back")));
  for (const auto& entry : std::filesystem::directory_iterator(world_.folder())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("back")) << entry.path();
  }
  const auto piped = vhsm({"decrypt", "default/key/file", changed});
  EXPECT_EQ(piped.status, 1);
  EXPECT_TRUE(piped.out == text.substr(0, 131'072));
}

/// What is there of a file that a killed process was about to write: its name begins with "back".
TEST_F(CryptFlowTest, AKilledDecryptionLeavesNothingInTheFolder) {
  if (!has_nameless_files(world_.folder())) GTEST_SKIP() << "this file system has no O_TMPFILE";
  must(
      {"encrypt", "default/key/file", written("plain", pattern(400'000)), "--out", file("sealed")});
  const auto killed = shell(
      "mkfifo " + file("pipe") + "; " + program() + " decrypt default/key/file " + file("pipe") +
      " --out " + file("back") + " & exec 3>" + file("pipe") + "; head -c 300000 " +
      file("sealed") +
      " >&3; for i in $(seq 100); do sleep 0.05; "
      "grep -q 'pos:.[1-9][0-9]\\{4\\}' /proc/$!/fdinfo/* && kill -9 $! && break; done; wait $!");
  EXPECT_EQ(killed.status, 137) << killed.err;
  for (const auto& entry : std::filesystem::directory_iterator(world_.folder())) {
    EXPECT_FALSE(entry.path().filename().string().starts_with("back")) << entry.path();
  }
}

TEST_F(CryptFlowTest, AnOutputTakesThePlaceOfAnOlderFileAndIsItsOwnersAlone) {
  must({"encrypt", "default/key/file", written("plain", "new"), "--out", file("sealed")});
  for (const bool there : {false, true}) {
    if (there) write_file(world_.file("back"), "an older and longer text");
    must({"decrypt", "default/key/file", file("sealed"), "--out", file("back")});
    EXPECT_EQ(read_file(world_.file("back")), "new");
    EXPECT_EQ(std::filesystem::status(world_.file("back")).permissions(),
              std::filesystem::perms(0600));
    const auto in_folder = shell("cd " + world_.folder().string() +
                                 " && vhsm decrypt default/key/file sealed --out back && ls back*");
    EXPECT_EQ(in_folder.out, "back\n") << in_folder.err;
  }
}

TEST_F(CryptFlowTest, WithItsOutputClosedItFailsAndNothingGoesToALog) {
  const std::string text = pattern(1000);
  must({"encrypt", "default/key/file", written("plain", text), "--out", file("sealed")});
  configure("log = " + file("log") + "\naudit = " + file("audit") + "\n");
  for (const char* const closed : {">&-", "<&- >&- 2>&-"}) {
    const auto refused = shell("vhsm decrypt default/key/file " + file("sealed") + " " + closed);
    EXPECT_EQ(refused.status, 1) << closed;
    for (const char* const name : {"log", "audit"}) {
      if (!std::filesystem::exists(world_.file(name))) continue;
      EXPECT_EQ(read_file(world_.file(name)).find(text.substr(0, 32)), std::string::npos) << name;
    }
  }
}

TEST_F(CryptFlowTest, MemoryDoesNotGrowWithTheFile) {
  const std::string measure = written("measure.py", R"(
import resource, subprocess, sys
size = int(sys.argv[1])
source = subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE)
def step(verb, given):
    return subprocess.Popen([sys.argv[2], verb, "default/key/file"], stdin=given,
                            stdout=subprocess.PIPE)
sealing = step("encrypt", source.stdout)
opening = step("decrypt", sealing.stdout)
counted = 0
while piece := opening.stdout.read(1 << 16): counted += len(piece)
assert (sealing.wait(), opening.wait(), counted) == (0, 0, size)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
)");
  const auto peak_kib = [&](const char* size) {
    const auto outcome = run({"python3", measure, size, program()}, world_.environment());
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return outcome.status == 0 ? std::stol(outcome.out) : 0;
  };
  const long small = peak_kib("100000");
  EXPECT_LT(peak_kib("60000000"), small + 2048);
}

TEST_F(CryptFlowTest, AMacIsThatOfOpenssl) {
  seal("default/key/mac", "0123456789abcdef", false);
  const std::string in = written("message", pattern(100'000));
  const auto reference = world_.openssl({"dgst", "-sha256", "-hmac", "0123456789abcdef", in});
  const auto mac = vhsm({"mac", "default/key/mac", in});
  ASSERT_EQ(mac.out.size(), 65U) << mac.err;
  EXPECT_THAT(reference.out, HasSubstr(mac.out.substr(0, 64)));
}

TEST_F(CryptFlowTest, AJwtIsSignedWithAKeyThatIsBoundToIt) {
  // Key, message and signature of RFC 7515, appendix A.1.
  world_.put(
      "default/jwt/hs256",
      R"({"kty":"oct","alg":"HS256","key_ops":["sign"],"k":"AyM1SysPpbyDfgZld3umj1qzKObwVMko)"
      R"(qQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})");
  const auto mac = shell(
      "printf %s eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
      "fQ"
      " | vhsm mac default/jwt/hs256 --format base64url");
  EXPECT_EQ(mac.out, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk\n") << mac.err;
  const auto other = shell("printf x | vhsm mac default/jwt/hs256 --digest SHA512");
  EXPECT_EQ(other.status, 1);
  EXPECT_THAT(other.err, HasSubstr("alg"));
  EXPECT_EQ(shell("printf x | vhsm encrypt default/jwt/hs256").status, 1);
}

}  // namespace
}  // namespace vhsm::tests
