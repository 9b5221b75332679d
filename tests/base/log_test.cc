// SPDX-License-Identifier: Apache-2.0
//
// Lines for operators: whole, bounded, and nothing that a hostile name could add to them.
#include "base/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "tests/base/temp_dir.h"

namespace vhsm {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;

TEST(LogLevel, KnowsItsFourNames) {
  EXPECT_EQ(parse_log_level("error").value(), LogLevel::kError);
  EXPECT_EQ(parse_log_level("debug").value(), LogLevel::kDebug);
  EXPECT_EQ(parse_log_level("verbose").error().code, Errc::kBadConfig);
}

TEST(LineFile, AppendsWholeLinesWithModeForItsGroup) {
  const test::TempDir folder;
  const mode_t before = umask(0);
  auto file = LineFile::open(folder.file("log")).value();
  umask(before);
  file.write("one");
  file.write("two");
  EXPECT_EQ(folder.read("log"), "one\ntwo\n");
  struct stat status {};
  ASSERT_EQ(stat(folder.file("log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

TEST(LineFile, LetsNoNewlineIntoALine) {
  const test::TempDir folder;
  LineFile::open(folder.file("log")).value().write("a\nforged line\x1b[2J");
  EXPECT_EQ(folder.read("log"), "a?forged line?[2J\n");
}

TEST(LineFile, CutsLongLines) {
  const test::TempDir folder;
  LineFile::open(folder.file("log")).value().write(std::string(5000, 'x'));
  EXPECT_EQ(folder.read("log").size(), 1025U);
}

TEST(LineFile, WithoutAPathDropsEveryLine) { LineFile::open("").value().write("nowhere"); }

TEST(LineFile, RefusesAPipeThatCouldKillTheHost) {
  const test::TempDir folder;
  ASSERT_EQ(mkfifo(folder.file("pipe").c_str(), 0600), 0);
  EXPECT_EQ(LineFile::open(folder.file("pipe")).error().code, Errc::kIo);
  EXPECT_EQ(LineFile::open(folder.file("no/such/folder")).error().code, Errc::kIo);
}

TEST(LineFile, KeepsLinesOfManyThreadsWhole) {
  const test::TempDir folder;
  const auto file = LineFile::open(folder.file("log")).value();
  std::vector<std::thread> threads;
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    threads.emplace_back([&file, letter] {
      for (int i = 0; i < 200; ++i) file.write(std::string(99, letter));
    });
  }
  for (auto& thread : threads) thread.join();
  const std::string text = folder.read("log");
  ASSERT_EQ(text.size(), 4U * 200U * 100U);
  for (std::size_t at = 0; at < text.size(); at += 100) {
    ASSERT_EQ(std::ranges::count(text.substr(at, 100), text[at]), 99);
  }
}

TEST(Log, WritesTimeAndLevelAndHidesWhatIsFiner) {
  const test::TempDir folder;
  const Log log(LineFile::open(folder.file("log")).value(), LogLevel::kInfo);
  log.write(LogLevel::kInfo, "ready");
  log.write(LogLevel::kDebug, "detail");
  EXPECT_THAT(folder.read("log"), MatchesRegex("20..-..-..T..:..:..Z info ready\n"));
}

TEST(Log, NamesCauseAndCureOfAnError) {
  const test::TempDir folder;
  const Log log(LineFile::open(folder.file("log")).value(), LogLevel::kError);
  log.error(fail(Errc::kUnreachable, "no KBS answered", "vhsm:default/tls/www"));
  EXPECT_THAT(folder.read("log"), HasSubstr(" error vhsm:default/tls/www: unreachable: no KBS"));
  EXPECT_THAT(folder.read("log"), HasSubstr(cure(Errc::kUnreachable)));
}

TEST(AuditLog, WritesOneJsonObjectForAnEventAndLeavesOutWhatIsEmpty) {
  const test::TempDir folder;
  const AuditLog audit(LineFile::open(folder.file("audit")).value());
  audit.write({.event = "release",
               .outcome = "granted",
               .key = "default/tls/www",
               .endpoint = "https://kbs:443",
               .nonce = "0a1b2c3d",
               .took = std::chrono::milliseconds(12)});
  EXPECT_THAT(folder.read("audit"),
              MatchesRegex("\\{\"time\":\"20.*Z\",\"event\":\"release\",\"outcome\":\"granted\","
                           "\"key\":\"default/tls/www\",\"endpoint\":\"https://kbs:443\","
                           "\"nonce\":\"0a1b2c3d\",\"ms\":12\\}\n"));
}

TEST(AuditLog, StaysOneObjectWhateverAKeyIsCalled) {
  const test::TempDir folder;
  const AuditLog audit(LineFile::open(folder.file("audit")).value());
  audit.write({.event = "release",
               .outcome = std::string(5000, 'o'),
               .key = "a\",\"outcome\":\"\\\n",
               .endpoint = std::string(5000, 'e'),
               .measurement = std::string(96, 'f')});
  const std::string line = folder.read("audit");
  EXPECT_THAT(line, HasSubstr("a\\\",\\\"outcome\\\":\\\"\\\\?"));
  EXPECT_THAT(line, EndsWith("\"}\n"));
  EXPECT_LT(line.size(), 1024U);
}

}  // namespace
}  // namespace vhsm
