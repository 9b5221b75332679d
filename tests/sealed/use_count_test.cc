// SPDX-License-Identifier: Apache-2.0
//
// The rule uses=: over all processes together no key is used more often than its policy says,
// whatever happens to them and to single files.
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "tests/sealed/one_key.h"

namespace vhsm::keystore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kSign = OperationKind::kSign;

class UseCountTest : public OneKeyTest {
 protected:
  [[nodiscard]] std::optional<std::uint64_t> left() const {
    return another()->list().value().back().uses_left;
  }
  /// How often the key can be used before it is refused.
  static int uses_of(const Key& key) {
    for (int uses = 0;; ++uses) {
      const Status done = do_with(key, {kSign});
      if (done.ok()) continue;
      EXPECT_EQ(done.error().code, Errc::kPolicy) << describe(done.error());
      return uses;
    }
  }
  static KeyPtr key_of(HoldingKeystore& keystore) { return keystore.open(uri()).value().key; }

  /// Runs `body` in a child of a fork.
  template <class Body>
  static int in_child(Body&& body) {
    const pid_t child = ::fork();
    if (child == 0) {
      body();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  }
};

TEST_F(UseCountTest, AKeyIsUsedAsOftenAsItsPolicySaysAndThenTheRuleAndTheCureAreNamed) {
  make_key("EC:P-256", "uses=3");
  EXPECT_EQ(left(), 3U);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(do_it({kSign}).ok()) << i;
  const Status refused = do_it({kSign});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Errc::kPolicy);
  EXPECT_THAT(describe(refused.error()), AllOf(HasSubstr("vhsm:default/app/key"),
                                               HasSubstr("(uses)"), HasSubstr("sets uses= anew")));
  EXPECT_EQ(left(), 0U);
}

TEST_F(UseCountTest, AKeyWithoutTheRuleIsNotCounted) {
  make_key("EC:P-256", "operations=sign");
  EXPECT_TRUE(do_it({kSign}).ok());
  EXPECT_EQ(left(), std::nullopt);
}

TEST_F(UseCountTest, OpenHandlesAndOperationsCountTogether) {
  make_key("EC:P-256", "uses=4");
  const KeyPtr first = key_of(*keystore_);
  const KeyPtr second = key_of(*keystore_);
  EXPECT_TRUE(do_with(*first, {kSign}).ok());
  EXPECT_TRUE(do_with(*second, {kSign}).ok());
  const auto operation = first->begin({kSign, "SHA256"}).value();
  const std::vector<std::uint8_t> digest(32, 1);
  std::vector<std::uint8_t> signature(128);
  EXPECT_TRUE(operation->run(digest, {}).ok()) << "to ask for the size is no use";
  EXPECT_TRUE(operation->run(digest, signature).ok());
  EXPECT_TRUE(operation->clone().value()->run(digest, signature).ok());
  EXPECT_EQ(operation->run(digest, signature).error().code, Errc::kPolicy);
  EXPECT_TRUE(operation->run(digest, {}).ok());
}

TEST_F(UseCountTest, AnOperationThatFailsCounts) {
  make_key("RSA:2048", "uses=2");
  const KeyUse wrong{OperationKind::kDecrypt, "", "oaep"};
  EXPECT_EQ(do_it(wrong).error().code, Errc::kCrypto);
  EXPECT_EQ(do_it(wrong).error().code, Errc::kCrypto);
  EXPECT_EQ(do_it(wrong).error().code, Errc::kPolicy);
}

TEST_F(UseCountTest, WhatThePublicHalfDoesIsNotCounted) {
  make_key("RSA:2048", "uses=1");
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(key_of(*keystore_)->begin({OperationKind::kVerify, "SHA256"}).ok());
  }
  EXPECT_EQ(left(), 1U);
}

TEST_F(UseCountTest, SeveralProcessesShareTheCount) {
  make_key("EC:P-256", "uses=10");
  const auto other = another();
  int uses = 0;
  while (do_it({kSign}).ok() && do_it(*other, {kSign}).ok()) uses += 2;
  EXPECT_EQ(uses, 10);
  EXPECT_EQ(uses_of(*key_of(*other)) + uses_of(*key_of(*keystore_)), 0);
}

TEST_F(UseCountTest, ThreadsThatUseItAtOnceGetNotOneUseMoreAndNotOneLess) {
  constexpr int kUses = 300;
  make_key("EC:P-256", "uses=300");
  const KeyPtr key = key_of(*keystore_);
  std::atomic<int> uses{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { uses += uses_of(*key); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(uses + uses_of(*key), kUses);
}

TEST_F(UseCountTest, AProcessTakesOneUseAndThenAsManyAsItHasSpentAndOnlyASmallPartOfWhatIsLeft) {
  make_key("EC:P-256", "uses=1280");
  for (const unsigned taken : {1U, 2U, 4U, 4U, 8U, 8U, 8U, 8U, 16U}) {
    EXPECT_TRUE(do_it({kSign}).ok());
    EXPECT_EQ(left(), 1280U - taken);
  }
  for (int i = 9; i < 17; ++i) EXPECT_TRUE(do_it({kSign}).ok());
  EXPECT_EQ(left(), 1255U) << "a 128th part of what is left is fewer than it has spent";
}

TEST_F(UseCountTest, NoBlockHasMoreUsesThanTheMost) {
  make_key("EC:P-256", "uses=1000000000");
  std::uint64_t before = *left();
  std::uint64_t most = 0;
  for (std::uint64_t spent = 0; spent <= 2 * sealed::kMostUsesTaken; ++spent) {
    EXPECT_TRUE(do_it({kSign}).ok());
    most = std::max(most, before - *left());
    before = *left();
  }
  EXPECT_EQ(most, sealed::kMostUsesTaken);
}

TEST_F(UseCountTest, ProgramsThatUseAKeyOnceLoseNothingEvenWhenTheyAreKilled) {
  make_key("EC:P-256", "uses=1280");
  for (std::uint64_t program = 1; program <= 3; ++program) {
    const int status = in_child([&] {
      const auto own = another();
      static_cast<void>(do_it(*own, {kSign}));
      ::raise(SIGKILL);
    });
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(left(), 1280U - program);
  }
}

/// Spends three uses, for which a process takes four.
void spend_three(HoldingKeystore& keystore, const KeyUri& uri) {
  const KeyPtr key = keystore.open(uri).value().key;
  for (int i = 0; i < 3; ++i) {
    if (!do_with(*key, {kSign}).ok()) ::_exit(1);
  }
}

TEST_F(UseCountTest, WhatAKilledProcessHadTakenIsLostAndNotGivenOutAgain) {
  make_key("EC:P-256", "uses=1280");
  const int status = in_child([&] {
    const auto own = another();
    spend_three(*own, uri());
    ::raise(SIGKILL);
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(left(), 1276U);
}

TEST_F(UseCountTest, AProcessThatEndsGivesBackWhatItHasTakenAndNotSpent) {
  make_key("EC:P-256", "uses=1280");
  auto own = another();
  spend_three(*own, uri());
  EXPECT_EQ(left(), 1276U);
  KeyPtr handle = key_of(*own);
  own.reset();
  EXPECT_EQ(left(), 1276U) << "a handle may still spend them";
  handle.reset();
  EXPECT_EQ(left(), 1277U);
}

TEST_F(UseCountTest, AllUsesAreSpentByProcessesThatComeAndGo) {
  make_key("EC:P-256", "uses=20");
  int programs = 0;
  for (int status = 0; status == 0; ++programs) {
    status = in_child([&] {
      const auto own = another();
      spend_three(*own, uri());
    });
  }
  EXPECT_EQ(programs, 7) << "the last one finds two";
  EXPECT_EQ(left(), 0U);
}

TEST_F(UseCountTest, AChildGivesBackNothingThatItsParentHasTaken) {
  make_key("EC:P-256", "uses=1280");
  spend_three(*keystore_, uri());
  ASSERT_EQ(left(), 1276U);
  ASSERT_EQ(in_child([&] { keystore_.reset(); }), 0);
  EXPECT_EQ(left(), 1276U);
  keystore_.reset();
  EXPECT_EQ(left(), 1277U);
}

TEST_F(UseCountTest, NothingIsGivenBackToAKeyWhosePolicyItsOwnerHasChangedMeanwhile) {
  make_key("EC:P-256", "uses=1280");
  for (const char* const policy : {"uses=5", "", "operations=sign uses=1280"}) {
    ASSERT_TRUE(keystore_->set_policy(uri(), "uses=1280").ok());
    auto own = another();
    spend_three(*own, uri());
    ASSERT_TRUE(keystore_->set_policy(uri(), policy).ok());
    const auto before = left();
    own.reset();
    EXPECT_EQ(left(), before) << policy;
  }
}

TEST_F(UseCountTest, ThereAreNeverMoreUsesThanThePolicySaysAfterSomeWereGivenBack) {
  make_key("EC:P-256", "uses=1280");
  auto own = another();
  spend_three(*own, uri());
  ASSERT_TRUE(keystore_->set_policy(uri(), "uses=1280").ok());
  own.reset();
  EXPECT_EQ(left(), 1280U);
}

TEST_F(UseCountTest, NothingIsGivenBackToANamesake) {
  make_key("EC:P-256", "uses=1280");
  auto own = another();
  spend_three(*own, uri());
  ASSERT_TRUE(keystore_->remove(uri()).ok());
  make_key("EC:P-256", "uses=1280");
  ASSERT_TRUE(do_it({kSign}).ok());
  own.reset();
  EXPECT_EQ(left(), 1279U);
}

TEST_F(UseCountTest, AProcessThatEndsDoesNotHangWhileAnotherChangesTheFolder) {
  make_key("EC:P-256", "uses=1280");
  auto own = another();
  spend_three(*own, uri());
  const auto begin = std::chrono::steady_clock::now();
  {
    const auto locked = sealed::open_files(path_).value()->lock(std::chrono::seconds(1));
    ASSERT_TRUE(locked.ok());
    own.reset();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
  EXPECT_EQ(left(), 1276U) << "they are lost";
}

TEST_F(UseCountTest, AChildOfAForkHasNoneOfItsParentsUses) {
  make_key("EC:P-256", "uses=1280");
  const KeyPtr key = key_of(*keystore_);
  spend_three(*keystore_, uri());
  ASSERT_EQ(left(), 1276U) << "one of four is left to the parent";
  const int status = in_child([&] {
    if (!do_with(*key, {kSign}).ok()) ::_exit(1);
  });
  ASSERT_EQ(status, 0);
  EXPECT_EQ(left(), 1275U) << "the child began anew, with one of its own";
  EXPECT_TRUE(do_with(*key, {kSign}).ok());
  EXPECT_EQ(left(), 1275U) << "the parent still has its own";
}

TEST_F(UseCountTest, AForkInTheMiddleOfAChangeLeavesNoLockBehind) {
  make_key("EC:P-256", "uses=1000");
  const KeyPtr key = key_of(*keystore_);
  std::atomic<bool> stop{false};
  std::thread taker([&] {
    while (!stop) static_cast<void>(do_with(*key, {kSign}));
  });
  std::vector<pid_t> children;
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::pause();  // keeps whatever it has inherited
      ::_exit(0);
    }
    children.push_back(child);
  }
  stop = true;
  taker.join();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(keystore_->set_policy(uri(), "").ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  for (const pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
}

TEST_F(UseCountTest, ItsOwnerGivesMoreAndOpenHandlesHaveThemToo) {
  make_key("EC:P-256", "uses=1");
  const KeyPtr key = key_of(*keystore_);
  EXPECT_EQ(uses_of(*key), 1);
  ASSERT_TRUE(keystore_->set_policy(uri(), "uses=2").ok());
  EXPECT_EQ(uses_of(*key), 2);
  ASSERT_TRUE(keystore_->set_policy(uri(), "").ok());
  EXPECT_TRUE(do_with(*key, {kSign}).ok()) << "there is no limit any more";
}

TEST_F(UseCountTest, ASuccessorBeginsWithAllOfThem) {
  make_key("EC:P-256", "uses=2");
  EXPECT_EQ(uses_of(*key_of(*keystore_)), 2);
  ASSERT_TRUE(keystore_->rotate(uri().name).ok());
  EXPECT_EQ(left(), 2U);
  EXPECT_EQ(uses_of(*key_of(*keystore_)), 2);
}

TEST_F(UseCountTest, AHandleOfADeletedKeyCannotSpendTheUsesOfItsNamesake) {
  make_key("EC:P-256", "uses=5");
  const KeyPtr old_key = key_of(*keystore_);
  ASSERT_TRUE(keystore_->remove(uri()).ok());
  make_key("EC:P-256", "uses=5");
  EXPECT_EQ(do_with(*old_key, {kSign}).error().code, Errc::kMissing);
  EXPECT_EQ(left(), 5U);
}

TEST_F(UseCountTest, AFolderThatCannotBeChangedLetsNobodyUseTheKey) {
  make_key("EC:P-256", "uses=5");
  const KeyPtr key = key_of(*keystore_);
  const auto lock = std::filesystem::path(path_) / "lock";
  std::filesystem::remove(lock);
  std::filesystem::create_directory(lock);
  EXPECT_EQ(do_with(*key, {kSign}).error().code, Errc::kIo);
  std::filesystem::remove(lock);
  EXPECT_TRUE(do_with(*key, {kSign}).ok());
}

// ----- files that are put back ------------------------------------------------------------------

using Contents = std::map<std::string, std::string>;

Contents read_all(const std::string& folder) {
  Contents all;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(file.path(), std::ios::binary);
    all[file.path().filename()] = {std::istreambuf_iterator<char>(in), {}};
  }
  return all;
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  std::filesystem::permissions(path, std::filesystem::perms(0600));
}

TEST_F(UseCountTest, NoSingleFileThatIsPutBackGivesAUseBack) {
  make_key("EC:P-256", "uses=3");
  const Contents before = read_all(path_);
  ASSERT_TRUE(do_it({kSign}).ok());
  const Contents after = read_all(path_);
  for (const auto& [name, bytes] : before) {
    if (after.contains(name) && after.at(name) == bytes) continue;
    write_file(std::filesystem::path(path_) / name, bytes);
    const Status done = do_it(*another(), {kSign});
    EXPECT_TRUE(done.ok() || done.error().code == Errc::kTampered) << name;
    if (done.ok()) {
      EXPECT_EQ(left(), 1U) << name << " was not looked at";
    }
    std::filesystem::remove_all(path_);
    std::filesystem::create_directory(path_);
    std::filesystem::permissions(path_, std::filesystem::perms(0700));
    for (const auto& [whole, content] : after) {
      write_file(std::filesystem::path(path_) / whole, content);
    }
  }
}

TEST_F(UseCountTest, AProcessThatRunsNoticesThatTheWholeFolderWasPutBack) {
  make_key("EC:P-256", "uses=3");
  const Contents before = read_all(path_);
  const KeyPtr key = key_of(*keystore_);
  ASSERT_TRUE(do_with(*key, {kSign}).ok());
  ASSERT_TRUE(do_with(*key, {kSign}).ok());
  for (const auto& [name, bytes] : before) write_file(std::filesystem::path(path_) / name, bytes);
  EXPECT_EQ(do_with(*key, {kSign}).error().code, Errc::kTampered);
}

}  // namespace
}  // namespace vhsm::keystore
