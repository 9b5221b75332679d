// SPDX-License-Identifier: Apache-2.0
//
// Sealed copies of a KBS's keys: for how long, in which boots and on which machine they are lent.
#include <sys/wait.h>

#include <gmock/gmock.h>

#include "tests/sealed/boots.h"

namespace vhsm::keystore::sealed {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST_F(CopiesTest, ACopyComesBackInTheNextProcessWithTheTimeThatIsLeft) {
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  pass(600);
  EXPECT_EQ(lent(), "key 3000");
}

TEST_F(CopiesTest, ItComesBackAfterABootAndLivesThroughSoManyOfThem) {
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  boot();
  EXPECT_EQ(lent(), "key 3540");
  EXPECT_EQ(lent(), "key 3540") << "one boot counts once";
  boot();
  EXPECT_EQ(lent(), "key 3480");
  boot();
  EXPECT_THAT(lent(), HasSubstr("last boot"));
}

TEST_F(CopiesTest, ItsTimeEndsWhateverTheClockSaysWithinABoot) {
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  boot();
  ASSERT_EQ(lent(), "key 3540");
  g_time.uptime += 3539;
  g_time.wall = kStart + 100;  // somebody sets it back
  EXPECT_EQ(lent(), "key 1");
  g_time.uptime += 1;
  EXPECT_THAT(lent(), HasSubstr("is over"));
  boot();
  EXPECT_EQ(lent(), "key 3440") << "the next boot has only the wall clock to go by";
}

TEST_F(CopiesTest, ItsTimeEndsByTheWallClockAcrossBoots) {
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  g_time.wall += 3540;
  boot();
  EXPECT_THAT(lent(), HasSubstr("is over"));
}

TEST_F(CopiesTest, AClockThatIsEarlierThanTheCopyIsNoticed) {
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  boot();
  g_time.wall = kStart - 1;
  EXPECT_THAT(lent(), HasSubstr("later than the clock says"));
  g_time.wall = kStart + 600;
  ASSERT_EQ(lent(), "key 3000");
  boot();
  g_time.wall = kStart + 599;
  EXPECT_THAT(lent(), HasSubstr("later than the clock says")) << "than its last use in a new boot";
}

TEST_F(CopiesTest, OnlyAnotherReleaseBeginsItsTimeAnew) {
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  pass(3000);
  boot();
  EXPECT_EQ(lent(), "key 540");
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  EXPECT_EQ(lent(), "key 3600");
  boot();
  boot();
  EXPECT_EQ(lent(), "key 3480") << "and so do its boots";
}

TEST_F(CopiesTest, AnOwnerWhoAllowsLessGivesLess) {
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  EXPECT_EQ(lent(*copies({std::chrono::seconds(60), 2})), "key 60");
  boot();
  EXPECT_THAT(lent(*copies({std::chrono::hours(1), 0})), HasSubstr("last boot"));
}

TEST_F(CopiesTest, ABootThatCannotBeCountedLendsNothing) {
  class ReadOnly final : public Files {
   public:
    explicit ReadOnly(std::unique_ptr<Files> real) : real_(std::move(real)) {}
    Result<Bytes> read(const std::string& name, std::size_t most) override {
      return real_->read(name, most);
    }
    Status write(const std::string& /*name*/, ByteView /*bytes*/) override { return refused(); }
    Status sync(const std::string& /*name*/) override { return refused(); }
    Status rename(const std::string& /*from*/, const std::string& /*to*/) override {
      return refused();
    }
    Status remove(const std::string& /*name*/) override { return refused(); }
    Status sync_folder() override { return refused(); }
    Result<std::vector<std::string>> names() override { return real_->names(); }
    Result<FolderLock> lock(std::chrono::milliseconds patience) override {
      return real_->lock(patience);
    }

   private:
    static Status refused() { return fail(Errc::kIo, "read-only"); }
    std::unique_ptr<Files> real_;
  };
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  const auto lent_by = [&] {
    Copies copies(std::make_unique<ReadOnly>(open_files(path_).value()),
                  std::make_shared<TestKeys>("a"), {std::chrono::hours(1), 2}, boot_, test_time);
    return lent(copies);
  };
  EXPECT_EQ(lent_by(), "key 3600") << "in the boot of the release nothing is written";
  boot();
  EXPECT_EQ(lent_by(), "read-only");
}

TEST_F(CopiesTest, ADroppedCopyIsGoneFromTheDisk) {
  const auto here = copies();
  EXPECT_FALSE(here->drop("a/b/c").value());
  ASSERT_TRUE(keep(*here, "a/b/c", "key").ok());
  ASSERT_THAT(files(), SizeIs(5));
  EXPECT_TRUE(here->drop("a/b/c").value());
  EXPECT_THAT(files(), SizeIs(4)) << "head, index, root, lock";
  EXPECT_EQ(lent(), "none");
}

TEST_F(CopiesTest, OneCopyOfAKeyIsKeptAndThoseWhoseTimeIsOverGo) {
  const auto here = copies();
  ASSERT_TRUE(keep(*here, "a/b/old", "old").ok());
  pass(1800);
  ASSERT_TRUE(keep(*here, "a/b/c", "one").ok());
  ASSERT_TRUE(keep(*here, "a/b/c", "two").ok());
  EXPECT_EQ(lent(), "two 3600");
  EXPECT_THAT(files(), SizeIs(6));
  pass(1800);
  ASSERT_TRUE(keep(*here, "a/b/c", "three").ok());
  EXPECT_THAT(here->records().value(), SizeIs(1));
  EXPECT_THAT(files(), SizeIs(5));
}

TEST_F(CopiesTest, OnAnotherMachineNothingIsLentAndTheNextReleaseStartsAnew) {
  const auto here = copies();
  ASSERT_TRUE(keep(*here, "a/b/c", "key").ok());
  ASSERT_TRUE(keep(*here, "a/b/d", "another").ok());
  machine_ = "b";
  const auto there = copies();
  EXPECT_EQ(lent(*there), "no slot of the keystore opens here");
  ASSERT_TRUE(keep(*there, "a/b/c", "key").ok());
  EXPECT_EQ(lent(), "key 3600");
  EXPECT_EQ(lent(*copies(), "a/b/d"), "none");
  EXPECT_THAT(files(), SizeIs(5));
}

TEST_F(CopiesTest, AProcessThatRunsGoesOnAfterAnotherHasStartedAnew) {
  const auto here = copies();
  ASSERT_TRUE(keep(*here, "a/b/c", "key").ok());
  for (const std::string& file : files()) std::filesystem::remove(path_ + "/" + file);
  ASSERT_TRUE(keep(*copies(), "a/b/d", "another").ok());
  ASSERT_TRUE(keep(*here, "a/b/c", "key").ok());
  EXPECT_EQ(lent(), "key 3600");
  EXPECT_EQ(lent(*copies(), "a/b/d"), "another 3600") << "it was not made anew once more";
}

TEST_F(CopiesTest, WithoutThePlatformNothingIsThrownAway) {
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  machine_ = "";
  EXPECT_EQ(keep(*copies(), "a/b/c", "later").error().code, Errc::kNoPlatform);
  machine_ = "a";
  EXPECT_EQ(lent(), "key 3600");
}

TEST_F(CopiesTest, AFolderOfALaterVhsmStaysAsItIs) {
  ASSERT_TRUE(keep(*copies(), "a/b/c", "key").ok());
  std::string head = temporary_.read("copies/head");
  ++head[8];
  static_cast<void>(temporary_.write("copies/head", head));
  EXPECT_EQ(keep(*copies(), "a/b/c", "later").error().code, Errc::kUnsupported);
  --head[8];
  static_cast<void>(temporary_.write("copies/head", head));
  EXPECT_EQ(lent(), "key 3600");
}

TEST_F(CopiesTest, AForkWhileTheFolderIsLockedLocksNobodyOut) {
  pid_t child = -1;
  {
    const auto held = open_files(path_).value()->lock(std::chrono::seconds(1));
    ASSERT_TRUE(held.ok());
    child = ::fork();
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
  }
  EXPECT_TRUE(open_files(path_).value()->lock(std::chrono::seconds(1)).ok());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST(BootIdTest, IsReadFromTheKernelAndNothingElseIsTakenForOne) {
  const auto one = read_boot_id();
  ASSERT_TRUE(one.ok()) << describe(one.error());
  EXPECT_EQ(one.value(), read_boot_id().value());
  EXPECT_NE(one.value(), BootId{});
  const test::TempDir folder;
  const std::string good = "00112233-4455-6677-8899-aabbccddeeff\n";
  const BootId expected{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                        0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
  EXPECT_EQ(read_boot_id(folder.write("id", good)).value(), expected);
  for (const std::string& bad : {good.substr(1), "0" + good, std::string(), "x" + good.substr(1)}) {
    EXPECT_EQ(read_boot_id(folder.write("id", bad)).error().code, Errc::kBadFormat) << bad;
  }
  EXPECT_EQ(read_boot_id(folder.file("none")).error().code, Errc::kIo);
}

}  // namespace
}  // namespace vhsm::keystore::sealed
