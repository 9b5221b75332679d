// SPDX-License-Identifier: Apache-2.0
//
// Who may use which key: what rules match, what the file may say, and that no failure loses it.
#include "keystore/daemon/grants.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/base/temp_dir.h"

namespace vhsm::keystore {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr uid_t kOwner = 990;
constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;

KeyName key(const char* path = "default/tls/www") { return KeyName::parse(path).value(); }

Rule rule(Rule::Kind kind, std::string_view text) { return parse_rule(kind, text).value(); }
Rule user(std::string_view text) { return rule(Rule::Kind::kUser, text); }
Rule group(std::string_view text) { return rule(Rule::Kind::kGroup, text); }
Rule unit(std::string_view text) { return rule(Rule::Kind::kUnit, text); }

Peer peer(uid_t uid, gid_t gid = 500, std::vector<gid_t> groups = {}, std::string of = {}) {
  return {uid, gid, std::move(groups), 1234, std::move(of)};
}

std::unique_ptr<Grants> load(const std::string& path = {}) {
  return Grants::load(path, ::geteuid() == 0 ? kOwner : ::geteuid()).value();
}

Error load_error(const std::string& path) { return Grants::load(path, ::geteuid()).error(); }

bool allows(const Grants& grants, const Peer& who, const char* path = "default/tls/www") {
  return grants.allow(who, key(path)).ok();
}

// ---- who may ----

TEST(Grants, ByDefaultNobodyButTheOwnerMayUseAKey) {
  const auto grants = Grants::load("", kOwner).value();
  EXPECT_TRUE(allows(*grants, peer(kOwner)));
  EXPECT_TRUE(allows(*grants, peer(0)));
  EXPECT_FALSE(allows(*grants, peer(33)));
  EXPECT_FALSE(allows(*grants, peer(1, 0, {0, kOwner}, "vhsmd.service")));
  EXPECT_TRUE(grants->is_owner(peer(kOwner)));
  EXPECT_TRUE(grants->is_owner(peer(0)));
  EXPECT_FALSE(grants->is_owner(peer(33)));
}

TEST(Grants, ForAUserHoldForThatUserAndThatKeyAlone) {
  const auto grants = load();
  ASSERT_TRUE(grants->grant(key(), user("33")).ok());
  EXPECT_TRUE(allows(*grants, peer(33)));
  EXPECT_FALSE(allows(*grants, peer(34)));
  EXPECT_FALSE(allows(*grants, peer(34, 33, {33})));
  EXPECT_FALSE(allows(*grants, peer(33), "default/tls/www2"));
  EXPECT_FALSE(grants->is_owner(peer(33)));
}

TEST(Grants, ForAGroupCountMainAndSupplementaryGroups) {
  const auto grants = load();
  ASSERT_TRUE(grants->grant(key(), group("33")).ok());
  EXPECT_TRUE(allows(*grants, peer(1, 33)));
  EXPECT_TRUE(allows(*grants, peer(1, 500, {7, 33})));
  EXPECT_FALSE(allows(*grants, peer(33, 500, {7})));
}

TEST(Grants, ForAUnitHoldForACertainUnitOnly) {
  const auto grants = load();
  ASSERT_TRUE(grants->grant(key(), unit("nginx.service")).ok());
  EXPECT_TRUE(allows(*grants, peer(33, 33, {}, "nginx.service")));
  EXPECT_FALSE(allows(*grants, peer(33, 33, {}, "nginx.scope")));
  EXPECT_FALSE(allows(*grants, peer(33, 33, {}, "")));
}

TEST(Grants, WithoutAKeyHoldForEveryKey) {
  const auto grants = load();
  ASSERT_TRUE(grants->grant(std::nullopt, group("1000")).ok());
  ASSERT_TRUE(grants->grant(key(), user("33")).ok());
  EXPECT_TRUE(allows(*grants, peer(1, 1000)));
  EXPECT_TRUE(allows(*grants, peer(1, 1000), "other/key/x"));
  EXPECT_TRUE(allows(*grants, peer(33)));
}

TEST(Grants, RefuseWithTheKeyAndThePeer) {
  const auto grants = load();
  const Error refusal = grants->allow(peer(33, 34, {}, "nginx.service"), key()).error();
  EXPECT_EQ(refusal.code, Errc::kNotGranted);
  EXPECT_STREQ(refusal.what.c_str(), "no grant lets this user use the key");
  EXPECT_EQ(refusal.subject.text(),
            "vhsm:default/tls/www for user 33, group 34, unit nginx.service");
  EXPECT_EQ(grants->allow(peer(33, 34), key()).error().subject.text(),
            "vhsm:default/tls/www for user 33, group 34, no unit");
}

TEST(Grants, RefuseWithThePeerHoweverLongTheKey) {
  const std::string segment(128, 'x');
  const auto name = KeyName::parse(segment + "/" + segment + "/" + segment).value();
  const auto refusal = load()->allow(peer(4294967294U, 4294967294U, {}, "nginx.service"), name);
  EXPECT_THAT(std::string(refusal.error().subject.text()),
              EndsWith("xx for user 4294967294, group 4294967294, unit nginx.service"));
}

TEST(Grants, AreOneHoweverOftenGiven) {
  const auto grants = load();
  ASSERT_TRUE(grants->grant(key(), user("33")).ok());
  ASSERT_TRUE(grants->grant(key(), user("33")).ok());
  EXPECT_THAT(grants->list(std::nullopt), ElementsAre("default/tls/www user 33"));
  ASSERT_TRUE(grants->revoke(key(), user("33")).ok());
  EXPECT_FALSE(allows(*grants, peer(33)));
}

TEST(Grants, CanBeTakenBackOnce) {
  const auto grants = load();
  ASSERT_TRUE(grants->grant(key(), user("33")).ok());
  ASSERT_TRUE(grants->grant(std::nullopt, user("34")).ok());
  for (const auto& [name, whom] :
       std::initializer_list<std::pair<std::optional<KeyName>, Rule>>{{key(), user("34")},
                                                                      {key(), group("33")},
                                                                      {key("a/b/c"), user("33")},
                                                                      {std::nullopt, user("33")}}) {
    EXPECT_EQ(grants->revoke(name, whom).error().code, Errc::kNotGranted);
  }
  ASSERT_TRUE(grants->revoke(key(), user("33")).ok());
  const Error missing = grants->revoke(key(), user("33")).error();
  EXPECT_EQ(missing.code, Errc::kNotGranted);
  EXPECT_EQ(missing.subject.text(), "default/tls/www user 33");
  EXPECT_FALSE(allows(*grants, peer(33)));
  EXPECT_TRUE(allows(*grants, peer(34)));
}

TEST(Grants, AreListedForAKeyWithTheDefaultOnes) {
  const auto grants = load();
  for (const auto& each : {unit("b.service"), unit("a.scope"), group("5"), user("10"), user("9")}) {
    ASSERT_TRUE(grants->grant(key(), each).ok());
  }
  ASSERT_TRUE(grants->grant(key("a/b/c"), user("1")).ok());
  ASSERT_TRUE(grants->grant(std::nullopt, user("2")).ok());
  EXPECT_THAT(grants->list(key("a/b/c")), ElementsAre("* user 2", "a/b/c user 1"));
  EXPECT_THAT(grants->list(key("no/such/key")), ElementsAre("* user 2"));
  EXPECT_THAT(grants->list(std::nullopt),
              ElementsAre("* user 2", "a/b/c user 1", "default/tls/www user 9",
                          "default/tls/www user 10", "default/tls/www group 5",
                          "default/tls/www unit a.scope", "default/tls/www unit b.service"));
}

// ---- rules ----

TEST(Rule, IsANumberHoweverItIsNamed) {
  EXPECT_EQ(user("0"), user("root"));
  EXPECT_EQ(group("0"), group("root"));
  EXPECT_EQ(user("4294967294").id, 4294967294U);
  EXPECT_EQ(to_text(user("root")), "user 0");
  EXPECT_EQ(to_text(group("33")), "group 33");
  EXPECT_EQ(to_text(unit("getty@tty1.service")), "unit getty@tty1.service");
  const passwd* const some = ::getpwnam("daemon");
  if (some != nullptr) {
    EXPECT_EQ(user("daemon").id, some->pw_uid);
  }
}

TEST(Rule, IsRefusedForWhomThisMachineDoesNotKnow) {
  for (const auto kind : {Rule::Kind::kUser, Rule::Kind::kGroup}) {
    for (const std::string& text : std::initializer_list<std::string>{
             "", "no-such-name-here", "4294967295", "4294967296", "99999999999999999999", "-1",
             "+1", "0x21", "33 ", " 33", "root ", "root\n", std::string("root\0x", 6),
             std::string(5000, 'a')}) {
      const auto made = parse_rule(kind, text);
      ASSERT_FALSE(made.ok()) << text;
      EXPECT_EQ(made.error().code, Errc::kBadConfig);
      EXPECT_EQ(made.error().subject.text(), Subject(text).text());
    }
  }
}

TEST(Rule, TakesUnitsThatCanRun) {
  for (const std::string& text : std::initializer_list<std::string>{
           "nginx.service", "session-1.scope", "a:b_c.d\\x2d-@i@j.service",
           std::string(247, 'a') + ".service"}) {
    EXPECT_EQ(unit(text).unit, text);
  }
  for (const std::string& text : std::initializer_list<std::string>{
           "", "nginx", "nginx.socket", ".service", "@.service", "@a.service", "a@.service",
           "ng inx.service", "a/b.service", "a*.service", "nginx.service\n", "nginx.service ", "*",
           "#.service", std::string("a\0.service", 10), std::string(248, 'a') + ".service"}) {
    EXPECT_EQ(parse_rule(Rule::Kind::kUnit, text).error().code, Errc::kBadConfig) << text;
  }
}

TEST(Rule, KnowsItsThreeKinds) {
  EXPECT_EQ(parse_kind("user").value(), Rule::Kind::kUser);
  EXPECT_EQ(parse_kind("group").value(), Rule::Kind::kGroup);
  EXPECT_EQ(parse_kind("unit").value(), Rule::Kind::kUnit);
  for (const char* wrong : {"", "User", "users", "pid"}) {
    EXPECT_EQ(parse_kind(wrong).error().code, Errc::kBadConfig);
  }
}

TEST(Rule, MadeByHandCannotBreakTheFile) {
  const test::TempDir folder;
  const auto grants = load(folder.file("grants"));
  for (const Rule& wrong :
       {Rule{Rule::Kind::kUnit, 0, "a.service\n* user 33"}, Rule{Rule::Kind::kUnit, 1, "a.service"},
        Rule{Rule::Kind::kUnit, 0, ""}, Rule{Rule::Kind::kUser, 33, "a.service"},
        Rule{Rule::Kind::kGroup, 4294967295U, ""}}) {
    EXPECT_EQ(grants->grant(key(), wrong).error().code, Errc::kBadConfig);
  }
  EXPECT_FALSE(std::filesystem::exists(folder.file("grants")));
}

// ---- the file ----

TEST(GrantsFile, OutlivesVhsmd) {
  const test::TempDir folder;
  const std::string path = folder.file("grants");
  const auto first = load(path);
  EXPECT_THAT(first->list(std::nullopt), IsEmpty());
  ASSERT_TRUE(first->grant(key(), unit("nginx.service")).ok());
  ASSERT_TRUE(first->grant(std::nullopt, group("1000")).ok());
  ASSERT_TRUE(first->grant(key(), user("33")).ok());
  ASSERT_TRUE(first->revoke(key(), user("33")).ok());
  const auto second = load(path);
  EXPECT_EQ(second->list(std::nullopt), first->list(std::nullopt));
  EXPECT_TRUE(allows(*second, peer(33, 33, {}, "nginx.service")));
  EXPECT_FALSE(allows(*second, peer(33)));
}

TEST(GrantsFile, IsPrivateToItsOwnerWhateverTheUmask) {
  const test::TempDir folder;
  const mode_t before = ::umask(0);
  ASSERT_TRUE(load(folder.file("grants"))->grant(key(), user("33")).ok());
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat(folder.file("grants").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

TEST(GrantsFile, HoldsALineForEachRuleBelowItsHead) {
  const test::TempDir folder;
  const auto grants = load(folder.file("grants"));
  ASSERT_TRUE(grants->grant(key(), user("33")).ok());
  ASSERT_TRUE(grants->grant(std::nullopt, group("1000")).ok());
  EXPECT_THAT(folder.read("grants"), StartsWith("# "));
  EXPECT_THAT(folder.read("grants"), EndsWith("\n* group 1000\ndefault/tls/www user 33\n"));
}

TEST(GrantsFile, MayHaveCommentsBlanksDuplicatesAndNoLastNewline) {
  const test::TempDir folder;
  const std::string path = folder.write("grants",
                                        "# by hand\n\n \t\n  default/tls/www \t user  33  # www\n"
                                        "default/tls/www user 33\n*\tunit\ta.service#\n* group 7");
  EXPECT_THAT(load(path)->list(std::nullopt),
              ElementsAre("* group 7", "* unit a.service", "default/tls/www user 33"));
}

TEST(GrantsFile, RefusesALineThatIsNoRuleAndSaysWhere) {
  const test::TempDir folder;
  for (const std::string& line :
       std::initializer_list<std::string>{"default/tls/www",
                                          "default/tls/www user",
                                          "default/tls/www user 33 34",
                                          "default/tls/www users 33",
                                          "default/tls/www user root",
                                          "default/tls/www user -1",
                                          "default/tls/www user 4294967295",
                                          "default/tls/www group 99999999999999999999",
                                          "default/tls/www unit nginx",
                                          "default/tls/www unit a@.service",
                                          "tls/www user 33",
                                          "a/b/c/d user 33",
                                          "vhsm:default/tls/www user 33",
                                          "default/../www user 33",
                                          "default/tls/* user 33",
                                          "** user 33",
                                          "user 33",
                                          "default/tls/www user 33\r",
                                          std::string("default/tls/www user 3\0", 23),
                                          std::string(3000, 'x'),
                                          "\xff\xfe user 33"}) {
    const Error error = load_error(folder.write("grants", "* group 1\n" + line + "\n"));
    EXPECT_EQ(error.code, Errc::kBadConfig) << line;
    const std::string subject(error.subject.text());
    EXPECT_THAT(subject, HasSubstr("/grants:2: "));
    EXPECT_THAT(subject, EndsWith("; allowed: KEY or *, user or group NUMBER, unit NAME"));
  }
}

TEST(GrantsFile, IsAtMostOneMebibyte) {
  const test::TempDir folder;
  const std::string path = folder.write("grants", std::string(kMaxFileBytes + 1, '\n'));
  EXPECT_EQ(load_error(path).code, Errc::kBadConfig);
  std::filesystem::resize_file(path, kMaxFileBytes);
  std::ofstream(path) << std::string(kMaxFileBytes, '\n');
  EXPECT_TRUE(Grants::load(path, ::geteuid()).ok());
}

TEST(GrantsFile, NeverGrowsToWhatWouldNotLoad) {
  const test::TempDir folder;
  const std::string path = folder.file("grants");
  std::string text;
  for (int i = 0; text.size() + 260 <= kMaxFileBytes; ++i) {
    text += "* unit " + std::to_string(100000 + i) + std::string(200, 'a') + ".service\n";
  }
  const auto grants = load(folder.write("grants", text));
  Status granted;
  for (int i = 0; i < 8 && granted.ok(); ++i) {
    granted =
        grants->grant(std::nullopt, unit(std::to_string(i) + std::string(200, 'b') + ".scope"));
  }
  EXPECT_EQ(granted.error().code, Errc::kBadConfig);
  EXPECT_LE(std::filesystem::file_size(path), kMaxFileBytes);
  EXPECT_EQ(load(path)->list(std::nullopt), grants->list(std::nullopt));
}

TEST(GrantsFile, MustBeOneThatOthersCannotWrite) {
  const test::TempDir folder;
  const std::string path = folder.write("grants", "* user 33\n");
  for (const mode_t mode : {0620U, 0602U, 0666U}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    EXPECT_EQ(load_error(path).code, Errc::kBadConfig);
    EXPECT_THAT(load_error(path).what.c_str(), HasSubstr("writable by group or others"));
  }
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_TRUE(Grants::load(path, ::geteuid()).ok());
}

TEST(GrantsFile, MustBelongToRootOrVhsmd) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const test::TempDir folder;
  const std::string path = folder.write("grants", "* user 33\n");
  EXPECT_TRUE(Grants::load(path, kOwner).ok());
  ASSERT_EQ(::chown(path.c_str(), kOwner, 0), 0);
  EXPECT_TRUE(Grants::load(path, kOwner).ok());
  const Error error = Grants::load(path, kOwner + 1).error();
  EXPECT_EQ(error.code, Errc::kBadConfig);
  EXPECT_THAT(error.what.c_str(), HasSubstr("owned by root or vhsmd's user"));
}

TEST(GrantsFile, MustBeARegularFile) {
  const test::TempDir folder;
  ASSERT_EQ(::mkfifo(folder.file("pipe").c_str(), 0600), 0);
  std::filesystem::create_directory(folder.file("folder"));
  std::filesystem::create_symlink(folder.write("real", "* user 33\n"), folder.file("link"));
  for (const char* name : {"pipe", "folder", "link"}) {
    EXPECT_EQ(load_error(folder.file(name)).code, Errc::kBadConfig) << name;
    EXPECT_THAT(load_error(folder.file(name)).what.c_str(), HasSubstr("regular file"));
  }
  EXPECT_EQ(load_error(folder.file("real/below")).code, Errc::kIo);
}

TEST(GrantsFile, ReplacesWhatACrashLeftAndFollowsNoLinkThere) {
  const test::TempDir folder;
  std::filesystem::create_symlink(folder.write("victim", "untouched"), folder.file("grants.new"));
  ASSERT_TRUE(load(folder.file("grants"))->grant(key(), user("33")).ok());
  EXPECT_EQ(folder.read("victim"), "untouched");
  EXPECT_TRUE(
      std::filesystem::is_regular_file(std::filesystem::symlink_status(folder.file("grants"))));
  EXPECT_FALSE(std::filesystem::exists(folder.file("grants.new")));
}

TEST(GrantsFile, AndRulesStayWhenTheNewFileCannotBeMade) {
  const test::TempDir folder;
  const auto grants = load(folder.file("grants"));
  ASSERT_TRUE(grants->grant(key(), user("33")).ok());
  const std::string old = folder.read("grants");
  std::filesystem::create_directory(folder.file("grants.new"));
  EXPECT_EQ(grants->grant(key(), user("34")).error().code, Errc::kIo);
  EXPECT_EQ(grants->revoke(key(), user("33")).error().code, Errc::kIo);
  EXPECT_EQ(folder.read("grants"), old);
  EXPECT_THAT(grants->list(std::nullopt), ElementsAre("default/tls/www user 33"));
  EXPECT_TRUE(allows(*grants, peer(33)));
  EXPECT_FALSE(allows(*grants, peer(34)));
}

TEST(GrantsFile, AndRulesStayWhenTheOldFileCannotBeReplaced) {
  const test::TempDir folder;
  const auto grants = load(folder.file("grants"));
  std::filesystem::create_directory(folder.file("grants"));
  EXPECT_EQ(grants->grant(key(), user("34")).error().code, Errc::kIo);
  EXPECT_FALSE(allows(*grants, peer(34)));
  EXPECT_FALSE(std::filesystem::exists(folder.file("grants.new")));
}

TEST(GrantsFile, AndRulesStayWhenTheFolderIsGone) {
  const test::TempDir folder;
  std::filesystem::create_directory(folder.file("gone"));
  const auto grants = load(folder.file("gone/grants"));
  ASSERT_TRUE(grants->grant(key(), user("33")).ok());
  std::filesystem::remove_all(folder.file("gone"));
  EXPECT_EQ(grants->grant(key(), user("34")).error().code, Errc::kIo);
  EXPECT_EQ(grants->revoke(key(), user("33")).error().code, Errc::kIo);
  EXPECT_TRUE(allows(*grants, peer(33)));
  EXPECT_FALSE(allows(*grants, peer(34)));
}

/// As on a full disk: writes end in the middle. 0 when a grant and a revocation fail without a
/// trace.
int change_on_a_full_disk(Grants& grants) {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{100, 100};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
  const auto before = grants.list(std::nullopt);
  if (grants.grant(key(), user("34")).ok() || allows(grants, peer(34))) return 2;
  if (grants.revoke(key(), user("33")).ok() || !allows(grants, peer(33))) return 3;
  return grants.list(std::nullopt) == before ? 0 : 4;
}

TEST(GrantsFile, AndRulesStayWhenTheDiskIsFull) {
  const test::TempDir folder;
  const auto grants = load(folder.file("grants"));
  for (const char* id : {"33", "1033", "2033"}) ASSERT_TRUE(grants->grant(key(), user(id)).ok());
  const std::string old = folder.read("grants");
  const pid_t child = ::fork();
  if (child == 0) ::_exit(change_on_a_full_disk(*grants));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(folder.read("grants"), old);
  EXPECT_FALSE(std::filesystem::exists(folder.file("grants.new")));
}

TEST(GrantsFile, IsWholeAtEveryMoment) {
  const test::TempDir folder;
  const auto grants = load(folder.file("grants"));
  ASSERT_TRUE(grants->grant(key(), user("1")).ok());
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(grants->grant(key(), user("2")).ok());
      EXPECT_TRUE(grants->revoke(key(), user("2")).ok());
    }
    done = true;
  });
  while (!done) EXPECT_TRUE(allows(*load(folder.file("grants")), peer(1)));
  writer.join();
}

TEST(GrantsFile, InTheWorkingFolderNeedsNoFolderInItsName) {
  const test::TempDir folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.file(""));
  EXPECT_TRUE(load("grants")->grant(key(), user("33")).ok());
  std::filesystem::current_path(before);
  EXPECT_THAT(folder.read("grants"), EndsWith("\ndefault/tls/www user 33\n"));
}

// ---- threads ----

TEST(Grants, ChangeWhileOthersAsk) {
  const auto grants = load();
  ASSERT_TRUE(grants->grant(key(), user("1")).ok());
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        EXPECT_TRUE(allows(*grants, peer(1)));
        EXPECT_FALSE(allows(*grants, peer(2)));
        EXPECT_GE(grants->list(key()).size(), 1U);
      }
    });
  }
  std::vector<std::thread> writers;
  for (const char* first : {"1", "2", "3"}) {
    writers.emplace_back([&, first] {
      for (int i = 100; i < 200; ++i) {
        EXPECT_TRUE(grants->grant(key(), user(first + std::to_string(i))).ok());
      }
    });
  }
  for (auto& writer : writers) writer.join();
  done = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(grants->list(key()).size(), 301U) << "no change was lost";
}

}  // namespace
}  // namespace vhsm::keystore
