// SPDX-License-Identifier: Apache-2.0
//
// What others do to a sealed folder between two steps of one's own.
#include <gmock/gmock.h>

#include <functional>
#include <thread>

#include "tests/sealed/boots.h"
#include "tests/sealed/hooks.h"

namespace vhsm::keystore::sealed {
namespace {

constexpr const char* kName = "default/tls/www";

class FolderRaceTest : public SealedFolderTest {
 protected:
  [[nodiscard]] bool is_lockable() const {
    return open_files(path_).value()->lock(std::chrono::milliseconds(0)).ok();
  }
};

TEST_F(FolderRaceTest, TheFolderIsNotLockedWhileItsRootKeyIsAskedFor) {
  const Version version = open()->add(kName, kSecret, secret("the key")).value();
  const std::vector<std::function<Status(Folder&)>> changes{
      [](Folder& folder) { return folder.set_policy(kName, 1, no_policy); },
      [](Folder& folder) { return folder.set_state(kName, 1, State::kEnabled); },
      [](Folder& folder) { return folder.add_slot(slot('c')); },
      [](Folder& folder) { return folder.remove(kName); },
  };
  for (const auto& change : changes) {
    int asked = 0;
    const auto keys =
        std::make_shared<HookedKeys>("a", HookedKeys::Hooks{.at_key = [&](bool /*opens*/) {
                                       ++asked;
                                       EXPECT_TRUE(is_lockable());
                                     }});
    Folder folder(open_files(path_).value(), keys);
    EXPECT_TRUE(change(folder).ok());
    EXPECT_EQ(asked, 1);
  }
}

TEST_F(FolderRaceTest, AFolderThatWasNotUnlockedSaysSoAndReadsNothing) {
  const Version version = open()->add(kName, kSecret, secret("the key")).value();
  const auto read = open()->read(kName, version);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, Errc::kSealed);
}

class CopiesRaceTest : public CopiesTest {
 protected:
  [[nodiscard]] Copies copies_with(HookedFiles::Hooks files, HookedKeys::Hooks keys) const {
    return {std::make_unique<HookedFiles>(open_files(path_).value(), std::move(files)),
            std::make_shared<HookedKeys>(machine_, std::move(keys)),
            {std::chrono::hours(1), 2},
            boot_,
            test_time};
  }
  void become_another_machine() {
    ASSERT_TRUE(keep(*copies(), "a/b/old", "old").ok());
    machine_ = "b";
  }
  /// Another process keeps its copy when this one has decided to start anew.
  void expect_both_are_kept() {
    bool first = true;
    Copies mine = copies_with({}, {.after_platform_slot = [&] {
                                if (!std::exchange(first, false)) return;
                                EXPECT_TRUE(keep(*copies(), "a/b/other", "other").ok());
                              }});
    ASSERT_TRUE(keep(mine, "a/b/mine", "mine").ok());
    EXPECT_FALSE(first);
    EXPECT_EQ(lent(*copies(), "a/b/mine"), "mine 3600");
    EXPECT_EQ(lent(*copies(), "a/b/other"), "other 3600");
  }
};

TEST_F(CopiesRaceTest, TheFirstCopiesOfTwoProcessesAreBothKept) { expect_both_are_kept(); }

TEST_F(CopiesRaceTest, TheFirstCopiesOfTwoProcessesOnAnotherMachineAreBothKept) {
  become_another_machine();
  expect_both_are_kept();
}

thread_local bool t_is_late = false;

/// The late one was refused in the old folder, as the early one was. It looks again when the early
/// one has started anew, has the new root key, and is about to read with it.
TEST_F(CopiesRaceTest, AThreadThatFindsTheCopiesLostTakesNoRootKeyFromOneThatReads) {
  become_another_machine();
  Gateway late_was_refused;
  Gateway early_is_about_to_read;
  Gateway late_looks_again;
  Gateway early_is_done;
  bool early_has_key = false;
  bool late_is_back = false;
  const auto at_key = [&](bool opens) {
    if (!t_is_late) {
      early_has_key = opens;
    } else if (!opens) {
      late_was_refused.open();
      early_is_about_to_read.pass();
      late_is_back = true;
    }
  };
  const auto before_head = [&] {
    if (t_is_late && late_is_back) {
      late_looks_again.open();
      early_is_done.pass();
    }
    if (t_is_late || !std::exchange(early_has_key, false)) return;
    early_is_about_to_read.open();
    late_looks_again.pass();
  };
  Copies shared = copies_with({.before_head = before_head}, {.at_key = at_key});
  std::thread late([&] {
    t_is_late = true;
    EXPECT_TRUE(keep(shared, "a/b/late", "late").ok());
  });
  late_was_refused.pass();
  EXPECT_TRUE(keep(shared, "a/b/early", "early").ok());
  early_is_done.open();
  late.join();
  EXPECT_EQ(lent(*copies(), "a/b/early"), "early 3600");
  EXPECT_EQ(lent(*copies(), "a/b/late"), "late 3600");
}

}  // namespace
}  // namespace vhsm::keystore::sealed
