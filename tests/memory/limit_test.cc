// SPDX-License-Identifier: Apache-2.0
//
// A program of its own: the limit counts at the first start in a process, so each claim about it is
// tried in a child that starts for the first time.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "memory/protected_memory.h"
#include "memory/sanitizer.h"

namespace vhsm::memory {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr rlim_t kUsersLimit = 8 * kMiB;  // what Debian gives an ordinary user
constexpr uid_t kOrdinary = 65534;
constexpr std::size_t kKeyBytes = 100'000;  // more than one chunk's first pages

template <class Body>
int in_child(Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool limit_to(rlim_t bytes) {
  const rlimit limit{bytes, bytes};
  return ::setrlimit(RLIMIT_MEMLOCK, &limit) == 0;
}

bool become_ordinary() { return ::setresuid(kOrdinary, kOrdinary, kOrdinary) == 0; }

/// Uses all there is.
bool fills_up() {
  std::vector<void*> all;
  while (void* object = allocate(4 << 10)) all.push_back(object);
  const bool full = usage().in_use_bytes + (64 << 10) > capacity_bytes();
  for (void* object : all) release(object);
  return full;
}

bool child_fills_up() {
  return in_child([] { return fills_up() ? 0 : 1; }) == 0;
}

#if defined(VHSM_ASAN)
constexpr bool kLocksNothing = true;
#else
constexpr bool kLocksNothing = false;
#endif

class OrdinaryUserTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    if (kLocksNothing) GTEST_SKIP() << "AddressSanitizer makes mlock do nothing";
  }
};

TEST_F(OrdinaryUserTest, HasAllOfTheDefaultSizeUnderTheDefaultLimit) {
  EXPECT_EQ(in_child([] {
              if (!limit_to(kUsersLimit) || !become_ordinary()) return 1;
              if (!initialise({}).ok()) return 2;
              if (!fills_up()) return 3;
              return child_fills_up() ? 0 : 4;
            }),
            0);
}

TEST_F(OrdinaryUserTest, HasItTooWhereRootStartedAndGaveItsPrivilegesUp) {
  EXPECT_EQ(in_child([] {
              if (!limit_to(kUsersLimit) || !initialise({}).ok()) return 1;
              if (!become_ordinary()) return 2;
              if (!fills_up()) return 3;
              return child_fills_up() && child_fills_up() ? 0 : 4;
            }),
            0);
}

TEST_F(OrdinaryUserTest, HasMoreThanTheLimitWhereRootMappedItBeforehand) {
  EXPECT_EQ(in_child([] {
              if (!limit_to(kUsersLimit) || !initialise({.limit_bytes = 32 * kMiB}).ok()) return 1;
              if (!become_ordinary()) return 2;
              return usage().backed_bytes == capacity_bytes() && fills_up() ? 0 : 3;
            }),
            0);
}

TEST_F(OrdinaryUserTest, IsRefusedMoreThanTheLimitAtTheStartAndNotLater) {
  EXPECT_EQ(in_child([] {
              if (!limit_to(kUsersLimit) || !become_ordinary()) return 1;
              const Status refused = initialise({.limit_bytes = 32 * kMiB});
              return !refused.ok() && refused.error().code == Errc::kMemoryLimit ? 0 : 2;
            }),
            0);
}

TEST_F(OrdinaryUserTest, WhoseHostTookTheRestKeepsWhatIsThere) {
  EXPECT_EQ(in_child([] {
              if (!become_ordinary() || !initialise({}).ok()) return 1;
              void* const held = allocate(1000);
              if (held == nullptr || !limit_to(0)) return 2;
              std::vector<void*> all;
              while (void* object = allocate(16 << 10)) all.push_back(object);
              if (usage().backed_bytes == capacity_bytes()) return 3;
              for (void* object : all) release(object);
              const auto works = run_protected([&]() -> Status {
                return allocate(1000) != nullptr ? Status() : fail(Errc::kMemoryLimit, "");
              });
              return works.ok() ? 0 : 4;
            }),
            0);
}

/// What a server's worker does, until its master has gone through all of `workers`.
int work(const unsigned char* key, int go_on, int report) {
  const auto read = run_protected([&]() -> Result<int> {
    void* const more = allocate(1000);
    return more != nullptr && key[0] == 0x5a && key[kKeyBytes - 1] == 0x5a ? 0 : 2;
  });
  const bool works = read.ok() && read.value() == 0;
  const char answer = works ? (kind() == Kind::kLocked ? 'l' : 's') : 'x';
  char none = 0;
  return ::write(report, &answer, 1) == 1 && ::read(go_on, &none, 1) == 0 && works ? 0 : 1;
}

/// One letter for each of `count` workers that live at the same time.
std::string what_workers_say(int count, const unsigned char* key) {
  int go_on[2];
  int report[2];
  if (::pipe(go_on) != 0 || ::pipe(report) != 0) return {};
  std::vector<pid_t> workers;
  for (int i = 0; i < count; ++i) {
    const pid_t worker = ::fork();
    if (worker == 0) {
      ::close(go_on[1]);
      ::_exit(work(key, go_on[0], report[1]));
    }
    workers.push_back(worker);
  }
  ::close(report[1]);
  std::string said;
  for (char letter = 0; ::read(report[0], &letter, 1) == 1;) {
    said += letter;
    if (said.size() == workers.size()) ::close(go_on[1]);
  }
  for (const pid_t worker : workers) ::waitpid(worker, nullptr, 0);
  return said;
}

/// The kernel may count the secret memory of all of them together, which is more than the limit:
/// then the last ones have locked pages.
TEST_F(OrdinaryUserTest, WithHundredWorkersHasKeysInAllOfThem) {
  constexpr int kWorkers = 100;
  EXPECT_EQ(in_child([] {
              if (!limit_to(kUsersLimit) || !become_ordinary() || !initialise({}).ok()) return 1;
              auto* const key = static_cast<unsigned char*>(allocate(kKeyBytes));
              {
                const Access access;
                std::memset(key, 0x5a, kKeyBytes);
              }
              const std::string said = what_workers_say(kWorkers, key);
              const auto locked = std::ranges::count(said, 'l');
              std::printf("%d workers, %d of them with locked pages\n", kWorkers,
                          static_cast<int>(locked));
              std::fflush(stdout);
              if (said.size() != kWorkers || said.find('x') != std::string::npos) return 2;
              const Access access;
              return key[0] == 0x5a && run_protected([] { return Status(); }).ok() ? 0 : 3;
            }),
            0);
}

TEST(LimitTest, MemoryIsTakenOnlyAsFarAsItIsNeeded) {
  EXPECT_EQ(in_child([] {
              if (!initialise({}).ok()) return 1;
              const Usage start = usage();
              if (start.backed_bytes >= start.capacity_bytes / 2) return 2;
              while (usage().backed_bytes == start.backed_bytes) {
                if (allocate(64 << 10) == nullptr) return 3;
              }
              if (usage().backed_bytes > start.backed_bytes + kMiB) return 4;
              return fills_up() && usage().backed_bytes == usage().capacity_bytes ? 0 : 5;
            }),
            0);
}

TEST(LimitTest, ATooSmallLimitIsRefusedWithTheCureAndALargerOneWorksAfterwards) {
  const Status small = initialise({.limit_bytes = 64 << 10});
  ASSERT_FALSE(small.ok());
  EXPECT_EQ(small.error().code, Errc::kMemoryLimit);
  EXPECT_NE(describe(small.error()).find("RLIMIT_MEMLOCK"), std::string::npos);
  EXPECT_EQ(kind(), Kind::kNone);
  EXPECT_EQ(allocate(16), nullptr);
  EXPECT_FALSE(run_protected([]() -> Status { return {}; }).ok());

  ASSERT_TRUE(initialise({.limit_bytes = 4 << 20}).ok());
  EXPECT_LT(capacity_bytes(), std::size_t{4} << 20);
  EXPECT_NE(allocate(16), nullptr);
}

}  // namespace
}  // namespace vhsm::memory
