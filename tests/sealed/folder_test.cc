// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <gmock/gmock.h>

#include <thread>

#include "tests/sealed/sealed_folder.h"

namespace vhsm::keystore::sealed {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kName = "default/tls/www";

TEST_F(SealedFolderTest, AChangeRemovesWhatAnUnfinishedOneLeftAndNothingElse) {
  const std::string hex(32, 'a');
  const auto files = open_files(path_).value();
  const std::vector<std::string> left{"index.99", "root.99", "head.new", hex + ".7"};
  const std::vector<std::string> others{"index.html", "root.pem",   "index.",
                                        hex,          hex + ".bak", "notes"};
  for (const auto& names : {left, others}) {
    for (const std::string& name : names) {
      ASSERT_TRUE(files->write(name, view("no box")).ok()) << name;
    }
  }
  ASSERT_TRUE(open()->add("a/b/c", kSecret, secret("x")).ok());
  EXPECT_THAT(this->files(), testing::IsSupersetOf(others));
  for (const std::string& name : left) {
    EXPECT_THAT(this->files(), testing::Not(testing::Contains(name)));
  }
}

TEST_F(SealedFolderTest, AKeyComesBackInAnotherProcess) {
  ASSERT_TRUE(open()->add(kName, kSecret, secret("the key")).ok());
  EXPECT_EQ(content(*open(), kName), "the key");
  const auto record = open()->find(kName, soon()).value();
  ASSERT_TRUE(record.has_value());
  ASSERT_THAT(record->versions, SizeIs(1));
  EXPECT_EQ(record->versions[0].number, 1U);
  EXPECT_EQ(record->versions[0].type, "256");
}

TEST_F(SealedFolderTest, NeitherTheKeyNorItsNameStandsOnTheDiskInTheClear) {
  ASSERT_TRUE(open()->add(kName, kSecret, secret("the key that nobody reads")).ok());
  for (const std::string& file : files()) {
    EXPECT_THAT(temporary_.read("keys/" + file), ::testing::Not(HasSubstr("nobody reads"))) << file;
    EXPECT_THAT(temporary_.read("keys/" + file), ::testing::Not(HasSubstr(kName))) << file;
  }
}

TEST_F(SealedFolderTest, AProcessThatRunsSeesWhatAnotherHasMade) {
  const auto mine = open();
  EXPECT_EQ(content(*mine, kName), "missing");
  ASSERT_TRUE(open()->add(kName, kSecret, secret("the key")).ok());
  EXPECT_EQ(content(*mine, kName), "the key");
}

TEST_F(SealedFolderTest, TheNewestEnabledVersionIsMeantWhereNoneIsNamed) {
  const auto folder = open();
  ASSERT_TRUE(folder->add(kName, kSecret, secret("first")).ok());
  ASSERT_EQ(rotate(*folder, kName, "second").value().number, 2U);
  EXPECT_EQ(content(*folder, kName), "second");
  EXPECT_EQ(content(*folder, kName, 1), "first");
  ASSERT_TRUE(folder->set_state(kName, 2, State::kDisabled).ok());
  EXPECT_EQ(content(*folder, kName), "first");
  EXPECT_EQ(content(*folder, kName, 2), "refused by key policy");
  ASSERT_TRUE(folder->set_state(kName, std::nullopt, State::kDisabled).ok());
  EXPECT_EQ(content(*folder, kName), "refused by key policy");
  ASSERT_TRUE(folder->set_state(kName, 2, State::kEnabled).ok());
  EXPECT_EQ(content(*folder, kName), "second");
  EXPECT_EQ(content(*folder, kName, 7), "missing");
}

TEST_F(SealedFolderTest, AVersionsNumberIsNotUsedAgain) {
  const auto folder = open();
  ASSERT_TRUE(folder->add(kName, kSecret, secret("first")).ok());
  ASSERT_TRUE(rotate(*folder, kName, "second").ok());
  ASSERT_TRUE(folder->remove(kName, 2).ok());
  EXPECT_EQ(rotate(*folder, kName, "third").value().number, 3U);
}

TEST_F(SealedFolderTest, ADeletedKeyIsGoneFromTheDiskToo) {
  const auto folder = open();
  const auto empty = files().size();
  ASSERT_TRUE(folder->add(kName, kSecret, secret("the key")).ok());
  EXPECT_THAT(files(), SizeIs(empty + 1));
  ASSERT_TRUE(folder->remove(kName).ok());
  EXPECT_THAT(files(), SizeIs(empty));
  EXPECT_EQ(content(*folder, kName), "missing");
  EXPECT_EQ(folder->remove(kName).error().code, Errc::kMissing);
}

TEST_F(SealedFolderTest, ATakenNameIsRefusedAndTheKeyStays) {
  const auto folder = open();
  ASSERT_TRUE(folder->add(kName, kSecret, secret("the key")).ok());
  const auto again = open()->add(kName, kSecret, secret("another"));
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, Errc::kWrongState);
  EXPECT_EQ(content(*folder, kName), "the key");
}

TEST_F(SealedFolderTest, ThreadsAndFoldersThatChangeItAtOnceLoseNothing) {
  constexpr int kEach = 8;
  std::vector<std::thread> threads;
  const auto shared = open();
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const auto own = open();
      Folder& folder = t % 2 == 0 ? *own : *shared;
      for (int i = 0; i < kEach; ++i) {
        const std::string name = "a/b/" + std::to_string(t * 100 + i);
        const auto added = folder.add(name, kSecret, secret(name));
        EXPECT_TRUE(added.ok()) << describe(added.error());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto records = open()->records(soon()).value();
  ASSERT_THAT(records, SizeIs(4 * kEach));
  for (const Record& record : records) EXPECT_EQ(content(*shared, record.name), record.name);
}

TEST_F(SealedFolderTest, AReaderIsNeverDisturbedByAWriter) {
  ASSERT_TRUE(open()->add(kName, kSecret, secret("the key")).ok());
  std::atomic<bool> done = false;
  std::thread writer([&] {
    const auto folder = open();
    for (int i = 0; i < 60; ++i) {
      const auto change = [i](const Version& /*version*/) -> Result<NewPolicy> {
        return NewPolicy{Bytes(10, static_cast<std::uint8_t>(i)), {}};
      };
      EXPECT_TRUE(folder->set_policy(kName, 1, change).ok());
    }
    done = true;
  });
  const auto reader = open();
  int reads = 0;
  while (!done) {
    ASSERT_EQ(content(*reader, kName), "the key");
    ++reads;
  }
  writer.join();
  EXPECT_GT(reads, 0);
}

// ----- slots -------------------------------------------------------------------------------------

TEST_F(SealedFolderTest, AnySlotOpensIt) {
  ASSERT_TRUE(open("a")->add(kName, kSecret, secret("the key")).ok());
  EXPECT_EQ(content(*open("b"), kName), "the key");
}

TEST_F(SealedFolderTest, WhereNoSlotOpensTheReasonOfEachIsTold) {
  const Status unlocked = open("")->unlock(soon());
  ASSERT_FALSE(unlocked.ok());
  EXPECT_EQ(unlocked.error().code, Errc::kSealed);
  EXPECT_THAT(describe(unlocked.error()), HasSubstr("snp: this was sealed on another chip; recov"));
}

TEST_F(SealedFolderTest, AWrongKeyForASlotOpensNothing) {
  class Wrong final : public SlotKeys {
    Result<SecretBytes> key_for(const SlotTerms& /*terms*/, TimePoint /*deadline*/) override {
      return key_of('x');
    }
  };
  Folder folder(open_files(path_).value(), std::make_shared<Wrong>());
  EXPECT_EQ(folder.unlock(soon()).error().code, Errc::kSealed);
}

TEST_F(SealedFolderTest, TheKbsIsAskedForItsSlotOnlyWhereNoOtherOpens) {
  class Asked final : public SlotKeys {
   public:
    explicit Asked(std::vector<SlotKind>& kinds) : kinds_(kinds) {}
    Result<SecretBytes> key_for(const SlotTerms& terms, TimePoint /*deadline*/) override {
      kinds_.push_back(terms.kind);
      if (terms.kind == SlotKind::kKbs) return key_of('k');
      return fail(Errc::kPlatform, "not here");
    }

   private:
    std::vector<SlotKind>& kinds_;
  };
  ASSERT_TRUE(open()->add_slot(slot('k', SlotKind::kKbs)).ok());
  ASSERT_TRUE(open()->remove_slot(0).ok());
  ASSERT_TRUE(open("k")->add_slot(slot('a')).ok());
  std::vector<SlotKind> kinds;
  Folder folder(open_files(path_).value(), std::make_shared<Asked>(kinds));
  EXPECT_TRUE(folder.unlock(soon()).ok());
  EXPECT_EQ(kinds, (std::vector{SlotKind::kRecovery, SlotKind::kPlatform, SlotKind::kKbs}));
}

TEST_F(SealedFolderTest, AKeyNeedsTwoSlots) {
  const auto folder = open();
  ASSERT_TRUE(folder->remove_slot(1).ok());
  EXPECT_EQ(folder->add(kName, kSecret, secret("k")).error().code, Errc::kTooFewSlots);
  EXPECT_EQ(folder->remove_slot(0).error().code, Errc::kTooFewSlots);
  ASSERT_TRUE(folder->add_slot(slot('c')).ok());
  ASSERT_TRUE(folder->add(kName, kSecret, secret("k")).ok());
  EXPECT_EQ(folder->remove_slot(0).error().code, Errc::kTooFewSlots);
  EXPECT_EQ(folder->remove_slot(2).error().code, Errc::kMissing);
}

TEST_F(SealedFolderTest, ANewSlotOpensItAndARemovedOneDoesNot) {
  const auto folder = open();
  ASSERT_TRUE(folder->add(kName, kSecret, secret("the key")).ok());
  ASSERT_TRUE(folder->add_slot(slot('c', SlotKind::kKbs)).ok());
  EXPECT_THAT(folder->try_slots(soon()).value(), SizeIs(3));
  EXPECT_EQ(content(*open("c"), kName), "the key");
  ASSERT_TRUE(folder->remove_slot(0).ok());
  EXPECT_EQ(content(*open("a"), kName), "keystore sealed");
  EXPECT_EQ(content(*open("c"), kName), "the key");
  EXPECT_THAT(files(), Contains(HasSubstr("root.")).Times(1));
}

// ----- who may have the folder -------------------------------------------------------------------

TEST_F(SealedFolderTest, AFolderThatIsOpenToOthersIsRefusedWithTheCure) {
  for (const mode_t mode : {0750U, 0701U, 0720U}) {
    ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    const auto opened = open_files(path_);
    ASSERT_FALSE(opened.ok()) << mode;
    EXPECT_EQ(opened.error().code, Errc::kBadConfig);
    EXPECT_THAT(describe(opened.error()), HasSubstr("chmod 700"));
  }
}

TEST_F(SealedFolderTest, AFileThatIsOpenToOthersIsRefusedWithTheCure) {
  ASSERT_EQ(::chmod((path_ + "/head").c_str(), 0644), 0);
  const auto found = open()->find(kName, soon());
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, Errc::kBadConfig);
  EXPECT_THAT(describe(found.error()), HasSubstr("chmod 600"));
}

TEST_F(SealedFolderTest, AnotherUsersFolderIsRefusedAndRootGivesItsFilesToTheOwner) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  constexpr uid_t kOther = 54321;
  ASSERT_EQ(::chmod(temporary_.file("").c_str(), 0755), 0);
  const auto chown_all = [&](uid_t owner) {
    for (const std::string& file : files()) {
      ASSERT_EQ(::chown((path_ + "/" + file).c_str(), owner, owner), 0);
    }
    ASSERT_EQ(::chown(path_.c_str(), owner, owner), 0);
  };
  chown_all(kOther);
  ASSERT_TRUE(open()->add(kName, kSecret, secret("the key")).ok());
  for (const std::string& file : files()) {
    struct stat status {};
    ASSERT_EQ(::stat((path_ + "/" + file).c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, kOther) << file;
  }
  chown_all(kOther + 1);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresuid(kOther, kOther, kOther) != 0) ::_exit(2);
    const auto opened = open_files(path_);
    ::_exit(opened.ok() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(SealedFolderTest, ALinkInTheFoldersPlaceIsRefused) {
  const std::string link = temporary_.file("link");
  ASSERT_EQ(::symlink(path_.c_str(), link.c_str()), 0);
  EXPECT_FALSE(open_files(link).ok());
}

TEST_F(SealedFolderTest, AFolderThatWasNeverMadeSaysHowToMakeIt) {
  const auto opened = open_files(temporary_.file("none"));
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(describe(opened.error()), HasSubstr("vhsm keystore init"));
}

TEST_F(SealedFolderTest, TheSecondCreationIsRefused) {
  const auto again = Folder::create(*open_files(path_).value(), two_slots());
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, Errc::kWrongState);
}

TEST_F(SealedFolderTest, AWriterThatHangsIsReportedAndNotWaitedForForever) {
  const auto files = open_files(path_).value();
  const auto locked = files->lock(std::chrono::milliseconds(0));
  ASSERT_TRUE(locked.ok());
  const auto second = open_files(path_).value()->lock(std::chrono::milliseconds(20));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Errc::kInUse);
}

// ----- changed by somebody else ------------------------------------------------------------------

class TamperTest : public SealedFolderTest {
 protected:
  void SetUp() override {
    SealedFolderTest::SetUp();
    ASSERT_TRUE(open()->add(kName, kSecret, secret("the key")).ok());
  }
  [[nodiscard]] std::string outcome() const { return content(*open(), kName); }
  [[nodiscard]] std::string read(const std::string& file) const {
    return temporary_.read("keys/" + file);
  }
  void write(const std::string& file, const std::string& bytes) const {
    static_cast<void>(temporary_.write("keys/" + file, bytes));
  }
};

TEST_F(TamperTest, EachFlippedByteOfEachFileIsNoticed) {
  for (const std::string& file : files()) {
    const std::string good = read(file);
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ 0x41);
      write(file, bad);
      ASSERT_NE(outcome(), "the key") << file << " at " << i;
    }
    write(file, good);
    ASSERT_EQ(outcome(), "the key");
  }
}

TEST_F(TamperTest, EachFileThatEndsTooEarlyOrTooLateIsNoticed) {
  for (const std::string& file : files()) {
    const std::string good = read(file);
    for (std::size_t size = 0; size < good.size(); ++size) {
      write(file, good.substr(0, size));
      ASSERT_NE(outcome(), "the key") << file << " of " << size;
    }
    if (file == "lock") continue;  // it is empty, and nobody reads it
    write(file, good + '\0');
    ASSERT_NE(outcome(), "the key") << file;
    write(file, good);
  }
}

TEST_F(TamperTest, EachMissingFileIsNoticed) {
  for (const std::string& file : files()) {
    if (file == "lock") continue;  // made when it is needed
    const std::string good = read(file);
    ASSERT_EQ(::unlink((path_ + "/" + file).c_str()), 0);
    EXPECT_NE(outcome(), "the key") << file;
    write(file, good);
    ASSERT_EQ(::chmod((path_ + "/" + file).c_str(), 0600), 0);
  }
}

TEST_F(TamperTest, AnOldStateOfAnySingleFileIsNoticed) {
  std::map<std::string, std::string> old;
  for (const std::string& file : files()) old[file] = read(file);
  ASSERT_TRUE(open()->set_state(kName, 1, State::kDisabled).ok());
  ASSERT_TRUE(open()->add_slot(slot('c')).ok());
  const auto now = files();
  for (const auto& [file, bytes] : old) {
    if (file == "lock") continue;
    const bool is_there = std::ranges::find(now, file) != now.end();
    const std::string good = is_there ? read(file) : "";
    write(file, bytes);
    ASSERT_EQ(::chmod((path_ + "/" + file).c_str(), 0600), 0);
    EXPECT_NE(outcome(), "the key") << file;
    if (is_there) write(file, good);
    if (!is_there) {
      ASSERT_EQ(::unlink((path_ + "/" + file).c_str()), 0);
    }
  }
  EXPECT_EQ(outcome(), "refused by key policy");
}

TEST_F(TamperTest, AnIndexUnderTheCurrentOnesNameIsNotTakenForIt) {
  std::string index;
  for (const std::string& file : files()) {
    if (file.starts_with("index.")) index = read(file);
  }
  ASSERT_TRUE(open()->set_state(kName, 1, State::kDisabled).ok());
  for (const std::string& file : files()) {
    if (file.starts_with("index.")) write(file, index);
  }
  EXPECT_EQ(outcome(), "keystore damaged");
}

TEST_F(TamperTest, AKeyInAnothersPlaceIsNotServed) {
  ASSERT_TRUE(open()->add("default/tls/other", kSecret, secret("other")).ok());
  std::vector<std::string> keys;
  for (const std::string& file : files()) {
    if (file.ends_with(".1") && file.size() > 32) keys.push_back(file);
  }
  ASSERT_THAT(keys, SizeIs(2));
  const std::string first = read(keys[0]);
  write(keys[0], read(keys[1]));
  write(keys[1], first);
  EXPECT_EQ(outcome(), "keystore damaged");
  EXPECT_THAT(open()->check(soon()).value(), SizeIs(2));
}

TEST_F(TamperTest, KeysThatAreNewerThanTheHeadAreNotSweptAway) {
  std::map<std::string, std::string> old;
  for (const std::string& file : files()) old[file] = read(file);
  ASSERT_TRUE(open()->set_policy(kName, 1, no_policy).ok());
  ASSERT_TRUE(open()->add("default/tls/later", kSecret, secret("later")).ok());
  for (const std::string& file : files()) {
    if (file.starts_with("index.")) {
      ASSERT_EQ(::unlink((path_ + "/" + file).c_str()), 0);
    }
  }
  for (const auto& [file, bytes] : old) {
    write(file, bytes);
    ASSERT_EQ(::chmod((path_ + "/" + file).c_str(), 0600), 0);
  }
  const auto files_before = files();
  const Status changed = open()->set_policy(kName, 1, no_policy);
  ASSERT_FALSE(changed.ok());
  EXPECT_EQ(changed.error().code, Errc::kTampered);
  EXPECT_EQ(files(), files_before);
}

TEST_F(TamperTest, AFileOfALaterVersionIsRefusedAsSuch) {
  constexpr std::size_t kFormAt = 8;
  std::string head = read("head");
  head[kFormAt] = 2;
  write("head", head);
  const auto found = open()->find(kName, soon());
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, Errc::kUnsupported);
  EXPECT_THAT(describe(found.error()), HasSubstr("upgrade"));
}

TEST_F(TamperTest, AFolderSealedUnderAnotherRootKeyIsNotMixedIn) {
  const std::string other = temporary_.file("other");
  ASSERT_TRUE(make_folder(other).ok());
  ASSERT_TRUE(Folder::create(*open_files(other).value(), two_slots()).ok());
  Folder folder(open_files(other).value(), std::make_shared<TestKeys>("a"));
  ASSERT_TRUE(folder.add(kName, kSecret, secret("foreign")).ok());
  for (const std::string& file : files()) {
    if (file.starts_with("root.")) continue;
    write(file, temporary_.read("other/" + file));
  }
  EXPECT_EQ(outcome(), "keystore damaged");
}

}  // namespace
}  // namespace vhsm::keystore::sealed
