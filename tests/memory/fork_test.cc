// SPDX-License-Identifier: Apache-2.0
#include <sched.h>
#include <spawn.h>
#include <sys/syscall.h>

#include <openssl/rand.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "memory/secret_bytes.h"
#include "tests/memory/fixture.h"

namespace vhsm::memory {
namespace {

using ForkTest = MemoryTest;
using std::chrono::milliseconds;

/// fork() without glibc's handlers, as a program with its own clone() does.
pid_t raw_clone() {
  return static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
}

int exit_status(pid_t child) {
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

std::array<unsigned char, 16> draw() {
  std::array<unsigned char, 16> bytes{};
  const Status drawn = run_protected(
      [&] { return crypto(RAND_priv_bytes(bytes.data(), static_cast<int>(bytes.size())), "no"); });
  EXPECT_TRUE(drawn.ok());
  return bytes;
}

TEST_F(ForkTest, TheChildHasWhatTheParentHadAtTheSameAddress) {
  auto secret = SecretBytes::copy(std::array<std::uint8_t, 3>{1, 2, 3});
  ASSERT_TRUE(secret.ok());
  EXPECT_EQ(in_child([&] {
              const Access access;
              const auto bytes = secret.value().expose();
              return usable() && bytes[0] == 1 && bytes[1] == 2 && bytes[2] == 3 ? 0 : 1;
            }),
            0);
}

TEST_F(ForkTest, ParentAndChildDoNotSeeEachOthersChanges) {
  auto secret = SecretBytes::copy(std::array<std::uint8_t, 1>{1});
  ASSERT_TRUE(secret.ok());
  EXPECT_EQ(in_child([&] {
              const Access access;
              secret.value().expose()[0] = 2;
              void* more = allocate(3000);
              std::memset(more, 0xFF, 3000);
              return 0;
            }),
            0);
  const Access access;
  EXPECT_EQ(secret.value().expose()[0], 1);
}

TEST_F(ForkTest, GrandchildrenWorkToo) {
  auto secret = SecretBytes::copy(std::array<std::uint8_t, 1>{7});
  ASSERT_TRUE(secret.ok());
  EXPECT_EQ(in_child([&] {
              return in_child([&] {
                return in_child([&] {
                  const Access access;
                  return secret.value().expose()[0] == 7 && generation() == 3 ? 0 : 1;
                });
              });
            }),
            0);
}

TEST_F(ForkTest, TheChildRunsInScopesAndFreesWhatItInherited) {
  void* inherited = allocate(100);
  EXPECT_EQ(in_child([&] {
              const auto answer = run_protected([]() -> Result<int> { return 5; });
              release(inherited);
              return answer.ok() && answer.value() == 5 ? 0 : 1;
            }),
            0);
  release(inherited);
}

TEST_F(ForkTest, TheChildDrawsOtherRandomNumbers) {
  draw();
  int channel[2];
  ASSERT_EQ(::pipe(channel), 0);
  EXPECT_EQ(in_child([&] {
              const auto theirs = draw();
              return ::write(channel[1], theirs.data(), theirs.size()) == 16 ? 0 : 1;
            }),
            0);
  std::array<unsigned char, 16> theirs{};
  ASSERT_EQ(::read(channel[0], theirs.data(), theirs.size()), 16);
  EXPECT_NE(draw(), theirs);
}

TEST_F(ForkTest, ARawCloneGetsAnErrorAndHarmsNobody) {
  auto secret = SecretBytes::copy(std::array<std::uint8_t, 1>{9});
  ASSERT_TRUE(secret.ok());
  void* inherited = allocate(64);
  const Access access;
  std::memset(inherited, 0x11, 64);
  const pid_t child = raw_clone();
  if (child == 0) {
    const auto refused = run_protected([]() -> Status { return {}; });
    release(inherited);
    const bool right = !refused.ok() && refused.error().code == Errc::kForked &&
                       allocate(16) == nullptr && !usable();
    ::_exit(right ? 0 : 1);
  }
  EXPECT_EQ(exit_status(child), 0);
  EXPECT_EQ(secret.value().expose()[0], 9);
  EXPECT_EQ(static_cast<unsigned char*>(inherited)[0], 0x11)
      << "the clone freed the parent's memory";
  release(inherited);
}

TEST_F(ForkTest, AChildHasWhatLiesInEveryChunk) {
  std::vector<unsigned char*> all;
  // A few chunks and not more: newer kernels charge three processes to one limit, together with
  // what tests before this one have made their arenas grow to.
  while (usage().in_use_bytes < usage().capacity_bytes / 7) {
    all.push_back(static_cast<unsigned char*>(allocate(100'000)));
    ASSERT_NE(all.back(), nullptr);
  }
  const Access access;
  for (std::size_t i = 0; i < all.size(); ++i)
    std::memset(all[i], static_cast<int>(i + 1), 100'000);
  EXPECT_EQ(in_child([&] {
              return in_child([&] {
                if (!usable()) return 2;
                for (std::size_t i = 0; i < all.size(); ++i) {
                  if (all[i][0] != i + 1 || all[i][99'999] != i + 1) return 1;
                }
                return 0;
              });
            }),
            0);
  for (unsigned char* object : all) release(object);
  EXPECT_EQ(in_child([] { return allocate(1 << 20) != nullptr ? 0 : 1; }), 0)
      << "the next child grows by itself";
}

TEST_F(ForkTest, ADaemonWorks) {
  auto secret = SecretBytes::copy(std::array<std::uint8_t, 1>{7});
  int channel[2];
  ASSERT_EQ(::pipe(channel), 0);
  EXPECT_EQ(in_child([&] {
              if (::daemon(1, 1) != 0) return 1;  // forks again and ends the first child
              const bool works = run_protected([&]() -> Result<bool> {
                                   return secret.value().expose()[0] == 7;
                                 }).value();
              return ::write(channel[1], works ? "y" : "n", 1) == 1 ? 0 : 1;
            }),
            0);
  char answer = 0;
  ASSERT_EQ(::read(channel[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
}

TEST_F(ForkTest, SpawnedProgramsGetNothingAndTheParentGoesOn) {
  auto secret = SecretBytes::copy(std::array<std::uint8_t, 1>{7});
  // Exit status 0: no mapping and no descriptor of ours is there.
  const char* script =
      "! grep -q secretmem /proc/self/maps && ! ls -l /proc/self/fd 2>/dev/null | grep -q "
      "secretmem";
  const std::array<const char*, 4> arguments{"sh", "-c", script, nullptr};
  auto* const* argv = const_cast<char* const*>(arguments.data());
  for (int i = 0; i < 20; ++i) {
    pid_t spawned = 0;
    ASSERT_EQ(::posix_spawn(&spawned, "/bin/sh", nullptr, nullptr, argv, environ), 0);
    EXPECT_EQ(exit_status(spawned), 0);
    const pid_t child = ::vfork();
    if (child == 0) {
      ::execv("/bin/sh", argv);
      ::_exit(9);
    }
    EXPECT_EQ(exit_status(child), 0);
    const pid_t forked = ::fork();
    if (forked == 0) {
      ::execv("/bin/sh", argv);
      ::_exit(9);
    }
    EXPECT_EQ(exit_status(forked), 0);
  }
  EXPECT_TRUE(
      run_protected([&]() -> Result<bool> { return secret.value().expose()[0] == 7; }).value());
  EXPECT_EQ(generation(), 0U);
}

/// What process 1 of a new pid namespace does: a raw clone that is process 1 of the next.
int as_first_process() {
  if (::getpid() != 1) return 1;
  const auto mine = draw();
  int channel[2];
  if (::pipe(channel) != 0) return 2;
  const auto child = static_cast<pid_t>(
      ::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, 0));
  if (child == 0) {
    std::array<unsigned char, 16> theirs{};
    const Status drawn = run_protected([&] {
      return crypto(RAND_priv_bytes(theirs.data(), static_cast<int>(theirs.size())), "no");
    });
    const bool refused = !drawn.ok() && drawn.error().code == Errc::kForked;
    ::_exit(::getpid() == 1 && refused && theirs == decltype(theirs){} ? 0 : 3);
  }
  if (exit_status(child) != 0) return 4;
  return draw() != mine ? 0 : 5;
}

TEST_F(ForkTest, ProcessesThatBothHaveNumberOneAreToldApart) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root makes pid namespaces";
  draw();
  EXPECT_EQ(in_child([] {
              if (::unshare(CLONE_NEWPID) != 0) return 77;
              return in_child(as_first_process);
            }),
            0);
}

TEST_F(ForkTest, AThousandForksWhileOthersWork) {
  std::atomic<bool> stop{false};
  const auto work = [&] {
    while (!stop) {
      const auto answer = run_protected([]() -> Status {
        void* object = allocate(700);
        std::memset(object, 3, 700);
        release(object);
        return {};
      });
      ASSERT_TRUE(answer.ok());
    }
  };
  std::thread first(work);
  std::thread second(work);
  int failures = 0;
  for (int i = 0; i < 1000; ++i) {
    failures += in_child([] {
                  return run_protected([]() -> Status {
                           release(allocate(700));
                           return {};
                         }).ok()
                             ? 0
                             : 1;
                }) != 0;
  }
  stop = true;
  first.join();
  second.join();
  EXPECT_EQ(failures, 0);
}

TEST_F(ForkTest, AThreadThatStaysInsideForLongLeavesTheChildWithoutKeysButForkIsNotHeldUp) {
  std::atomic<bool> inside{false};
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    static_cast<void>(run_protected([&]() -> Status {
      inside = true;
      while (!stop) ::sched_yield();
      return {};
    }));
  });
  while (!inside) ::sched_yield();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(in_child([] {
              const auto refused = run_protected([]() -> Status { return {}; });
              return !refused.ok() && refused.error().code == Errc::kForked ? 0 : 1;
            }),
            0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(5000));
  stop = true;
  worker.join();
  EXPECT_EQ(in_child([] { return usable() ? 0 : 1; }), 0) << "the next fork is an ordinary one";
}

TEST_F(ForkTest, LongWorkThatPausesLetsForksPass) {
  std::atomic<bool> inside{false};
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    static_cast<void>(run_protected([&]() -> Status {
      inside = true;
      while (!stop) pause_for_fork();
      return {};
    }));
  });
  while (!inside) ::sched_yield();
  int failures = 0;
  for (int i = 0; i < 50; ++i) failures += in_child([] { return usable() ? 0 : 1; }) != 0;
  stop = true;
  worker.join();
  EXPECT_EQ(failures, 0);
}

TEST_F(ForkTest, AForkInsideAScopeEndsTheChildAndNotTheParent) {
  // Nothing that we run inside a scope forks, and signals are blocked there. Should it happen, the
  // child wakes on a stack that it must not share with its parent, and has none.
  const auto answer = run_protected([]() -> Result<int> { return in_child([] { return 0; }); });
  EXPECT_EQ(answer.value(), -1);
  EXPECT_TRUE(usable());
}

}  // namespace
}  // namespace vhsm::memory
