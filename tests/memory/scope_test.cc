// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>

#include <atomic>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "tests/memory/fixture.h"

namespace vhsm::memory {
namespace {

using ScopeTest = MemoryTest;

TEST_F(ScopeTest, AnswersWhatTheBodyAnswers) {
  EXPECT_EQ(run_protected([]() -> Result<int> { return 7; }).value(), 7);
  const auto refused = run_protected([]() -> Result<int> { return fail(Errc::kPolicy, "no"); });
  EXPECT_EQ(refused.error().code, Errc::kPolicy);
}

TEST_F(ScopeTest, StopsExceptions) {
  const auto answer = run_protected([]() -> Status {
    // The standard library's way to say so; nothing of ours does.
    std::vector<char> too_large(static_cast<std::size_t>(-1) / 4);
    return {};
  });
  EXPECT_EQ(answer.error().code, Errc::kOutOfMemory);
  EXPECT_FALSE(in_scope());
}

TEST_F(ScopeTest, RunsOnAnotherStackAndNestsOnTheSame) {
  // Frames, not locals: a sanitizer may keep those elsewhere.
  const void* const here = __builtin_frame_address(0);
  const void* inner = nullptr;
  const void* nested = nullptr;
  ASSERT_TRUE(run_protected([&]() -> Status {
                inner = __builtin_frame_address(0);
                EXPECT_TRUE(in_scope());
                return run_protected([&]() -> Status {
                  nested = __builtin_frame_address(0);
                  return {};
                });
              }).ok());
  const auto distance = [](const void* a, const void* b) {
    return std::abs(static_cast<const char*>(a) - static_cast<const char*>(b));
  };
  EXPECT_GT(distance(here, inner), 1 << 20);
  EXPECT_LT(distance(inner, nested), 32 << 10);
  EXPECT_FALSE(in_scope());
}

TEST_F(ScopeTest, LibcryptoAllocatesFromTheArenaInsideAndFromTheHeapOutside) {
  BIGNUM* outside = BN_new();
  BIGNUM* inside = nullptr;
  ASSERT_TRUE(run_protected([&]() -> Status {
                inside = BN_new();
                return {};
              }).ok());
  EXPECT_FALSE(contains(outside));
  EXPECT_TRUE(contains(inside));
  BN_free(outside);
  BN_free(inside);  // outside the scope: decided by address
}

TEST_F(ScopeTest, AHeapBlockThatGrowsInsideMovesInAndItsOldPlaceIsWiped) {
  auto* block = static_cast<char*>(OPENSSL_malloc(100));
  std::memset(block, 'x', 100);
  char* grown = nullptr;
  ASSERT_TRUE(run_protected([&]() -> Status {
                grown = static_cast<char*>(OPENSSL_realloc(block, 5000));
                return {};
              }).ok());
  ASSERT_NE(grown, nullptr);
  EXPECT_TRUE(contains(grown));
  EXPECT_EQ(std::string(grown, 100), std::string(100, 'x'));
  auto* grown_again = static_cast<char*>(OPENSSL_realloc(grown, 9000));
  EXPECT_TRUE(contains(grown_again)) << "what was inside must not go out";
  OPENSSL_free(grown_again);
}

std::atomic<int> g_handled{0};
std::atomic<bool> g_handled_inside{false};

TEST_F(ScopeTest, AsynchronousSignalsWaitForTheEnd) {
  struct sigaction action {};
  action.sa_handler = [](int) {
    ++g_handled;
    if (in_scope()) g_handled_inside = true;
  };
  struct sigaction old {};
  ::sigaction(SIGUSR1, &action, &old);
  int handled_inside = -1;
  ASSERT_TRUE(run_protected([&]() -> Status {
                ::raise(SIGUSR1);
                handled_inside = g_handled;
                return {};
              }).ok());
  ::sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(handled_inside, 0);
  EXPECT_EQ(g_handled, 1);
  EXPECT_FALSE(g_handled_inside);
}

TEST_F(ScopeTest, TheSignalMaskIsAsBefore) {
  sigset_t odd;
  sigemptyset(&odd);
  sigaddset(&odd, SIGUSR2);
  sigset_t before;
  ::pthread_sigmask(SIG_SETMASK, &odd, &before);
  ASSERT_TRUE(run_protected([]() -> Status { return {}; }).ok());
  sigset_t now;
  ::pthread_sigmask(SIG_SETMASK, &before, &now);
  EXPECT_EQ(sigismember(&now, SIGUSR2), 1);
  EXPECT_EQ(sigismember(&now, SIGUSR1), 0);
}

TEST_F(ScopeTest, MoreThreadsThanStacksAllGetTheirTurn) {
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const auto answer = run_protected([]() -> Status {
          char scratch[4000];
          std::memset(scratch, 1, sizeof scratch);
          __asm__ volatile("" : : "r"(scratch) : "memory");
          return {};
        });
        if (answer.ok()) ++done;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(done, 5000);
}

TEST_F(ScopeTest, AFullArenaIsNamedAsTheReason) {
  const auto answer = run_protected([]() -> Status {
    std::vector<void*> all;
    while (void* object = OPENSSL_malloc(60000)) all.push_back(object);
    for (void* object : all) OPENSSL_free(object);
    return fail(Errc::kCrypto, "malloc failure, as libcrypto says");
  });
  EXPECT_EQ(answer.error().code, Errc::kMemoryLimit);
}

}  // namespace
}  // namespace vhsm::memory
