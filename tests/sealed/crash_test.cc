// SPDX-License-Identifier: Apache-2.0
//
// A process is killed, or the power goes, at each step of changes to a sealed folder: afterwards it
// holds what it held before the change under way, or what it holds after it, and can be changed.
#include <signal.h>
#include <sys/wait.h>

#include <gmock/gmock.h>

#include <functional>
#include <optional>
#include <utility>

#include "tests/sealed/changes.h"

namespace vhsm::keystore::sealed {
namespace {

using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::IsEmpty;

constexpr std::size_t kChanges = 4;

// ----- kill -9 -----------------------------------------------------------------------------------

/// Real files, and a step at which the process is killed: before each change of a file, and halfway
/// through each write.
class KillingFiles final : public Files {
 public:
  KillingFiles(std::unique_ptr<Files> real, int last) : real_(std::move(real)), left_(last) {}

  Result<Bytes> read(const std::string& name, std::size_t most) override {
    return real_->read(name, most);
  }
  Status write(const std::string& name, ByteView bytes) override {
    step();
    if (left_ == 1) static_cast<void>(real_->write(name, bytes.first(bytes.size() / 2)));
    step();
    return real_->write(name, bytes);
  }
  Status sync(const std::string& name) override { return step(), real_->sync(name); }
  Status rename(const std::string& from, const std::string& to) override {
    return step(), real_->rename(from, to);
  }
  Status remove(const std::string& name) override { return step(), real_->remove(name); }
  Status sync_folder() override { return step(), real_->sync_folder(); }
  Result<std::vector<std::string>> names() override { return real_->names(); }
  Result<FolderLock> lock(std::chrono::milliseconds patience) override {
    return real_->lock(patience);
  }

 private:
  void step() {
    if (--left_ == 0) ::raise(SIGKILL);
  }
  std::unique_ptr<Files> real_;
  int left_;
};

class KillTest : public SealedFolderTest {
 protected:
  struct End {
    std::size_t made = 0;  ///< changes that had succeeded
    bool killed = false;
  };

  /// Makes the changes in a child that is killed at the step.
  End killed_at(int step, const std::vector<Change>& changes) const {
    int pipe[2];
    EXPECT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      Folder folder(std::make_unique<KillingFiles>(open_files(path_).value(), step),
                    std::make_shared<TestKeys>("a"));
      for (const Change& change : changes) {
        if (!make(folder, change).ok()) ::_exit(1);
        if (::write(pipe[1], "+", 1) != 1) ::_exit(2);
      }
      ::_exit(0);
    }
    ::close(pipe[1]);
    End end;
    for (char c = 0; ::read(pipe[0], &c, 1) == 1;) ++end.made;
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    end.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    EXPECT_TRUE(end.killed || status == 0) << status;
    return end;
  }

  void start_anew() {
    std::filesystem::remove_all(path_);
    ASSERT_TRUE(make_folder(path_).ok());
    ASSERT_TRUE(Folder::create(*open_files(path_).value(), two_slots()).ok());
  }

  /// A file for each version, and head, index, root, lock.
  void expect_no_remains(Folder& folder) const {
    std::size_t versions = 0;
    const auto records = folder.records(soon()).value();
    for (const Record& record : records) versions += record.versions.size();
    EXPECT_THAT(files(), ::testing::SizeIs(versions + 4));
  }
};

using RandomChanges = std::vector<Change> (*)(unsigned seed, std::size_t count);

class EachKindKillTest : public KillTest, public ::testing::WithParamInterface<RandomChanges> {};

TEST_P(EachKindKillTest, NoneIsLostNorComesBackWhereverAProcessIsKilled) {
  const int wanted = kill_points() / 2;
  int points = 0;
  for (unsigned seed = 1; points < wanted; ++seed) {
    const auto changes = GetParam()(seed, kChanges);
    for (int step = 1; points < wanted; ++step) {
      start_anew();
      const End end = killed_at(step, changes);
      if (!end.killed) break;  // it came to its end: all steps of these changes were tried
      ++points;
      const auto folder = open();
      ASSERT_THAT(held_by(*folder),
                  AnyOf(Eq(after(changes, end.made)), Eq(after(changes, end.made + 1))))
          << "seed " << seed << ", step " << step;
      ASSERT_TRUE(folder->add("z/z/z", kSecret, secret("later")).ok()) << step;
      expect_no_remains(*folder);
    }
  }
  EXPECT_EQ(points, wanted);
}

constexpr auto kind_of = [](const auto& value) {
  return std::string(value.param == random_changes ? "Keys" : "Copies");
};
INSTANTIATE_TEST_SUITE_P(All, EachKindKillTest,
                         ::testing::Values(random_changes, random_copy_changes), kind_of);

TEST_F(KillTest, AFolderThatIsMadeAnewIsTheOldOneOrNoneOrAnEmptyOneWhereverItIsKilled) {
  const auto slots = [] {
    std::vector<NewSlot> one;
    one.push_back(slot('a'));
    return one;
  };
  for (int step = 1;; ++step) {
    start_anew();
    ASSERT_TRUE(open()->put_copy("a/b/c", kCopy, secret("old")).ok());
    const pid_t child = ::fork();
    if (child == 0) {
      Folder folder(std::make_unique<KillingFiles>(open_files(path_).value(), step),
                    std::make_shared<TestKeys>("a"));
      ::_exit(folder.start_anew(folder.look(), slots(), soon()).ok() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    const auto folder = open();
    const Holding old{{"a/b/c", {{1, with_boots("old", kBoots)}}}};
    if (folder->is_made()) {
      EXPECT_THAT(held_by(*folder), AnyOf(Eq(old), Eq(Holding()))) << step;
    }
    ASSERT_TRUE(folder->start_anew(folder->look(), slots(), soon()).ok()) << step;
    ASSERT_TRUE(folder->put_copy("a/b/c", kCopy, secret("new")).ok()) << step;
    expect_no_remains(*folder);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
  }
}

TEST_F(KillTest, TheFolderIsMadeOrNotWhereverItsMakerIsKilled) {
  for (int step = 1;; ++step) {
    std::filesystem::remove_all(path_);
    ASSERT_TRUE(make_folder(path_).ok());
    const pid_t child = ::fork();
    if (child == 0) {
      KillingFiles files(open_files(path_).value(), step);
      ::_exit(Folder::create(files, two_slots()).ok() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    const Status again = Folder::create(*open_files(path_).value(), two_slots());
    EXPECT_TRUE(again.ok() || again.error().code == Errc::kWrongState) << describe(again.error());
    EXPECT_TRUE(open()->add("a/b/c", kSecret, secret("k")).ok()) << step;
  }
}

/// What a process has taken before it was killed is gone, or it was not taken: never is it left and
/// taken.
TEST_F(KillTest, NoUseIsGivenOutTwiceWhereverAProcessIsKilled) {
  constexpr std::uint64_t kUses = 1280;
  constexpr std::uint64_t kBlock = 10;
  NewVersion counted = kSecret;
  counted.uses = kUses;
  for (int step = 1;; ++step) {
    start_anew();
    ASSERT_TRUE(open()->add("a/b/c", counted, secret("k")).ok());
    int taken[2];
    ASSERT_EQ(::pipe(taken), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      Folder folder(std::make_unique<KillingFiles>(open_files(path_).value(), step),
                    std::make_shared<TestKeys>("a"));
      const Version version = folder.find("a/b/c", soon()).value()->versions.front();
      if (!folder.take_uses("a/b/c", version, kBlock).ok()) ::_exit(1);
      if (::write(taken[1], "+", 1) != 1) ::_exit(2);
      ::_exit(0);
    }
    ::close(taken[1]);
    char c = 0;
    const bool has_them = ::read(taken[0], &c, 1) == 1;
    ::close(taken[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    const auto left = open()->find("a/b/c", soon()).value()->versions.front().uses_left;
    if (has_them) {
      EXPECT_EQ(left, kUses - kBlock) << step;
    } else {
      EXPECT_THAT(left, AnyOf(Eq(kUses), Eq(kUses - kBlock))) << step;
    }
    if (WIFEXITED(status)) break;
    EXPECT_TRUE(open()->set_policy("a/b/c", {}, no_policy).ok())
        << "it goes on, after step " << step;
  }
}

/// What a process gives back is there again, or it is lost: it has given it out of its hands
/// before.
TEST_F(KillTest, WhatIsGivenBackIsThereOnceOrLostWhereverTheProcessIsKilled) {
  constexpr std::uint64_t kUses = 1280;
  constexpr std::uint32_t kBlock = 10;
  NewVersion counted = kSecret;
  counted.uses = kUses;
  bool lost = false;
  bool given = false;
  for (int step = 1;; ++step) {
    start_anew();
    const Version version = open()->add("a/b/c", counted, secret("k")).value();
    ASSERT_EQ(open()->take_uses("a/b/c", version, kBlock).value(), kBlock);
    const pid_t child = ::fork();
    if (child == 0) {
      Folder folder(std::make_unique<KillingFiles>(open_files(path_).value(), step),
                    std::make_shared<TestKeys>("a"));
      ::_exit(folder.give_back_uses("a/b/c", version, kBlock - 1, kUses).ok() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    const auto left = open()->find("a/b/c", soon()).value()->versions.front().uses_left;
    EXPECT_THAT(left, AnyOf(Eq(kUses - kBlock), Eq(kUses - 1))) << step;
    lost = lost || left == kUses - kBlock;
    given = given || left == kUses - 1;
    if (!WIFEXITED(status)) continue;
    EXPECT_EQ(WEXITSTATUS(status), 0);
    break;
  }
  EXPECT_TRUE(lost && given);
}

// ----- power loss --------------------------------------------------------------------------------

/// A disk that keeps what was synced, and of the rest whatever it likes.
class Disk {
 public:
  using Directory = std::map<std::string, int>;

  explicit Disk(unsigned seed) : random_(seed) {}

  /// Loses power before the step. 0: never.
  void lose_power_at(int step) { left_ = step; }
  [[nodiscard]] bool is_off() const { return off_; }
  void ignore_sync() { honest_ = false; }

  Result<Bytes> read(const std::string& name) {
    const auto found = directory_.find(name);
    if (off_) return fail(Errc::kIo, "the power is gone");
    if (found == directory_.end()) return fail(Errc::kMissing, "no such file", name);
    return inodes_[found->second].now;
  }
  Status write(const std::string& name, ByteView bytes) {
    return step([&] {
      const int inode = next_inode_++;
      inodes_[inode] = {Bytes(bytes.begin(), bytes.end()), std::nullopt};
      apply([name, inode](Directory& directory) { directory[name] = inode; });
    });
  }
  Status sync(const std::string& name) {
    return step([&] {
      Inode& inode = inodes_[directory_.at(name)];
      if (honest_) inode.kept = inode.now;
    });
  }
  Status rename(const std::string& from, const std::string& to) {
    return step([&] {
      apply([from, to](Directory& directory) {
        const auto found = directory.find(from);
        if (found == directory.end()) return;
        directory[to] = found->second;
        directory.erase(from);
      });
    });
  }
  Status remove(const std::string& name) {
    return step([&] { apply([name](Directory& directory) { directory.erase(name); }); });
  }
  Status sync_folder() {
    return step([&] {
      if (!honest_) return;
      kept_ = directory_;
      pending_.clear();
    });
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, inode] : directory_) names.push_back(name);
    return names;
  }

  /// The power comes back: each change of the folder that was not synced has happened or not, and
  /// each file that was not is whole, empty, or torn.
  void restart() {
    for (const auto& change : pending_) {
      if (random_() % 2 == 0) change(kept_);
    }
    for (auto& [number, inode] : inodes_) {
      if (!inode.kept.has_value()) inode.kept = torn(inode.now);
      inode.now = *inode.kept;
    }
    directory_ = kept_;
    pending_.clear();
    off_ = false;
    left_ = 0;
  }

 private:
  struct Inode {
    Bytes now;
    std::optional<Bytes> kept;
  };

  Bytes torn(const Bytes& whole) {
    Bytes part = whole;
    if (whole.empty()) return part;
    switch (random_() % 4) {
      case 0: return part;
      case 1: return {};
      case 2: part.resize(random_() % whole.size()); return part;
      default:
        std::fill(part.begin() + static_cast<std::ptrdiff_t>(random_() % whole.size()), part.end(),
                  std::uint8_t{0});
        return part;
    }
  }

  void apply(std::function<void(Directory&)> change) {
    change(directory_);
    pending_.push_back(std::move(change));
  }

  template <class Body>
  Status step(Body&& body) {
    if (left_ > 0 && --left_ == 0) off_ = true;
    if (off_) return fail(Errc::kIo, "the power is gone");
    body();
    return {};
  }

  std::mt19937 random_;
  Directory directory_;
  Directory kept_;
  std::vector<std::function<void(Directory&)>> pending_;
  std::map<int, Inode> inodes_;
  int next_inode_ = 1;
  int left_ = 0;
  bool off_ = false;
  bool honest_ = true;
};

class DiskFiles final : public Files {
 public:
  explicit DiskFiles(std::shared_ptr<Disk> disk) : disk_(std::move(disk)) {}
  Result<Bytes> read(const std::string& name, std::size_t /*most*/) override {
    return disk_->read(name);
  }
  Status write(const std::string& name, ByteView bytes) override {
    return disk_->write(name, bytes);
  }
  Status sync(const std::string& name) override { return disk_->sync(name); }
  Status rename(const std::string& from, const std::string& to) override {
    return disk_->rename(from, to);
  }
  Status remove(const std::string& name) override { return disk_->remove(name); }
  Status sync_folder() override { return disk_->sync_folder(); }
  Result<std::vector<std::string>> names() override { return disk_->names(); }
  Result<FolderLock> lock(std::chrono::milliseconds /*patience*/) override { return FolderLock(); }

 private:
  std::shared_ptr<Disk> disk_;
};

class PowerTest : public KeystoreTest {
 protected:
  static std::unique_ptr<Folder> open(const std::shared_ptr<Disk>& disk) {
    return std::make_unique<Folder>(std::make_unique<DiskFiles>(disk),
                                    std::make_shared<TestKeys>("a"));
  }
  static std::shared_ptr<Disk> made(unsigned seed) {
    auto disk = std::make_shared<Disk>(seed);
    DiskFiles files(disk);
    EXPECT_TRUE(Folder::create(files, two_slots()).ok());
    return disk;
  }
  /// @return how many changes had succeeded.
  static std::size_t change_until_dark(Folder& folder, const std::vector<Change>& changes) {
    std::size_t made = 0;
    while (made < changes.size() && make(folder, changes[made]).ok()) ++made;
    return made;
  }
};

class EachKindPowerTest : public PowerTest, public ::testing::WithParamInterface<RandomChanges> {};

TEST_P(EachKindPowerTest, NoneIsLostNorComesBackWhenTheDiskKeepsOnlyWhatWasSynced) {
  const int wanted = 5 * kill_points() / 2;
  int points = 0;
  for (unsigned seed = 1; points < wanted; ++seed) {
    const auto changes = GetParam()(seed, kChanges);
    for (int step = 1; points < wanted; ++step) {
      const auto disk = made(seed * 1000 + static_cast<unsigned>(step));
      disk->lose_power_at(step);
      const std::size_t made = change_until_dark(*open(disk), changes);
      if (!disk->is_off()) break;
      ++points;
      disk->restart();
      const auto folder = open(disk);
      ASSERT_THAT(held_by(*folder), AnyOf(Eq(after(changes, made)), Eq(after(changes, made + 1))))
          << "seed " << seed << ", step " << step;
      ASSERT_TRUE(folder->add("z/z/z", kSecret, secret("later")).ok()) << seed << " " << step;
      ASSERT_THAT(folder->check(soon()).value(), IsEmpty());
    }
  }
  EXPECT_EQ(points, wanted);
}

INSTANTIATE_TEST_SUITE_P(All, EachKindPowerTest,
                         ::testing::Values(random_changes, random_copy_changes), kind_of);

/// The test's own test: with a disk that lies keys are lost, and it is seen.
TEST_F(PowerTest, ADiskThatSyncsNothingLosesKeysAndNeverYieldsAWrongOne) {
  int lost = 0;
  for (unsigned seed = 1; seed <= 40; ++seed) {
    const auto changes = random_changes(seed, kChanges);
    const auto disk = made(seed);
    disk->ignore_sync();
    const std::size_t made = change_until_dark(*open(disk), changes);
    ASSERT_EQ(made, changes.size());
    disk->restart();
    const Holding held = held_by(*open(disk));
    if (held == after(changes, made)) continue;
    ++lost;
    for (const auto& [name, versions] : held) {
      for (const auto& [number, content] : versions) {
        const bool is_key = content.starts_with("key ");
        EXPECT_TRUE(!is_key || std::ranges::any_of(changes, [&](const Change& change) {
          return change.content == content && change.name == name;
        })) << content;
      }
    }
  }
  EXPECT_GT(lost, 0);
}

}  // namespace
}  // namespace vhsm::keystore::sealed
