// SPDX-License-Identifier: Apache-2.0
//
// A program of its own: the limit counts at the first start in a process, so each claim about it is
// tried in a child that starts for the first time.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "memory/protected_memory.h"
#include "memory/sanitizer.h"

namespace vhsm::memory {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr rlim_t kUsersLimit = 8 * kMiB;  // what Debian gives an ordinary user
constexpr uid_t kOrdinary = 65534;

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
