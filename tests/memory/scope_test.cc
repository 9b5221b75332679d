// SPDX-License-Identifier: Apache-2.0
#include <execinfo.h>
#include <setjmp.h>
#include <signal.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "memory/checks.h"
#include "memory/sanitizer.h"
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
  const Access access;  // BN_free() looks at the number
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
  const Access access;
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

// ----- a host that jumps out of a scope from its handler -----

sigjmp_buf g_way_out;
std::atomic<int> g_started_by_handler{-1};

constexpr int kAutoDisarm = static_cast<int>(1U << 31);  // SS_AUTODISARM of <linux/signal.h>

/// A host's crash handler on an alternate stack, for as long as it lives.
class CrashHandler {
 public:
  explicit CrashHandler(void (*handler)(int), int stack_flags = 0) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = SA_ONSTACK;
    ::sigaction(SIGTRAP, &action, &old_);
    stack_t stack{};
    stack.ss_sp = stack_.data();
    stack.ss_size = stack_.size();
    stack.ss_flags = stack_flags;
    EXPECT_EQ(::sigaltstack(&stack, nullptr), 0);
  }
  ~CrashHandler() {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ::sigaltstack(&none, nullptr);
    ::sigaction(SIGTRAP, &old_, nullptr);
  }

 private:
  std::vector<char> stack_ = std::vector<char>(64 << 10);
  struct sigaction old_ {};
};

void jump_out_of_a_scope() {
  if (sigsetjmp(g_way_out, 1) != 0) return;
  static_cast<void>(run_protected([]() -> Status {
    static_cast<void>(allocate(100));
    ::raise(SIGTRAP);
    return {};
  }));
}

TEST_F(ScopeTest, AHostThatJumpsOutOfAScopeCanEnterTheNextOne) {
  const CrashHandler handler([](int) { siglongjmp(g_way_out, 1); });
  for (int i = 0; i < 100; ++i) {  // more often than there are stacks
    jump_out_of_a_scope();
    EXPECT_FALSE(in_scope());
    EXPECT_TRUE(run_protected([]() -> Status {
                  return in_scope() ? Status() : fail(Errc::kInternal, "");
                }).ok());
  }
}

TEST_F(ScopeTest, AForkAfterAJumpOutOfAScopeIsAnOrdinaryOne) {
  const CrashHandler handler([](int) { siglongjmp(g_way_out, 1); });
  jump_out_of_a_scope();
  EXPECT_EQ(in_child([] { return usable() ? 0 : 1; }), 0);
}

TEST_F(ScopeTest, AHostWhoseAlternateStackIsForgottenMeanwhileCanJumpOutToo) {
  const CrashHandler handler([](int) { siglongjmp(g_way_out, 1); }, kAutoDisarm);
  jump_out_of_a_scope();
  EXPECT_FALSE(in_scope());
  EXPECT_TRUE(run_protected([]() -> Status { return {}; }).ok());
}

/// That a handler on an alternate stack is refused, and the scope that it interrupted goes on.
void expect_refusal_in_handler(int stack_flags) {
  const CrashHandler handler(
      [](int) {
        const auto refused = run_protected([]() -> Status { return {}; });
        const bool right = !refused.ok() && refused.error().code == Errc::kWrongState;
        g_started_by_handler = right ? 0 : 1;
      },
      stack_flags);
  g_started_by_handler = -1;
  ASSERT_TRUE(run_protected([]() -> Status {
                ::raise(SIGTRAP);
                return in_scope() ? Status() : fail(Errc::kInternal, "the scope is gone");
              }).ok());
  EXPECT_EQ(g_started_by_handler, 0);
}

TEST_F(ScopeTest, AHandlerOnAnotherStackCannotWorkOnKeysWhileTheScopeItInterruptedGoesOn) {
  expect_refusal_in_handler(0);
}

TEST_F(ScopeTest, AHandlerWhoseAlternateStackIsForgottenMeanwhileCannotEither) {
  expect_refusal_in_handler(kAutoDisarm);
}

// ----- what a scope leaves behind -----

// What libcrypto makes for each thread: a generator, here.
TEST_F(ScopeTest, AThreadThatEndsLeavesNothingInTheArena) {
  const auto draw = [] {
    static_cast<void>(run_protected(
        []() -> Status { return crypto(RAND_get0_private(nullptr) != nullptr ? 1 : 0, "no"); }));
  };
  std::thread(draw).join();
  const std::size_t before = in_use_bytes();
  for (int i = 0; i < 50; ++i) std::thread(draw).join();
  EXPECT_LE(in_use_bytes(), before);
}

TEST_F(ScopeTest, ThreadsThatEndDoNotWaitForEachOther) {
  // The private OpenSSL holds a lock while a thread leaves it and frees what lies in the arena:
  // who has the lock must not wait for a stack that someone has who waits for the lock.
  const auto draw = [] {
    ASSERT_TRUE(run_protected([&]() -> Status {
                  return crypto(RAND_get0_private(nullptr) != nullptr ? 1 : 0, "no");
                }).ok());
  };
  const auto start_and_end = [&] {
    for (int i = 0; i < 30; ++i) std::thread(draw).join();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 40; ++i) threads.emplace_back(start_and_end);
  for (auto& thread : threads) thread.join();
}

void leave_on_stack() {
  volatile char left[2000];
  for (volatile char& byte : left) byte = 0x5A;
}

/// How much of what leave_on_stack() left is on the stack of the next scope.
std::size_t found_on_stack() {
  return run_protected([]() -> Result<std::size_t> {
           const auto* const here = static_cast<const unsigned char*>(__builtin_frame_address(0));
           std::size_t found = 0;
           for (const unsigned char* at = here - 6000; at < here; ++at) {
             found += *const_cast<const volatile unsigned char*>(at) == 0x5A ? 1U : 0U;
           }
           return found;
         })
      .value();
}

TEST_F(ScopeTest, StacksAreWipedWhenAKeyIsGone) {
  if (checks::kChecked) GTEST_SKIP() << "sanitizers put locals elsewhere";
  const auto work = [] {
    static_cast<void>(run_protected([]() -> Status {
      leave_on_stack();
      return {};
    }));
  };
  work();
  EXPECT_GT(found_on_stack(), 500U);
  work();
  wipe_stacks();
  EXPECT_LT(found_on_stack(), 20U);
  static_cast<void>(run_protected([]() -> Status {
    leave_on_stack();
    wipe_stacks();  // while this one is in use: when it is left
    return {};
  }));
  EXPECT_LT(found_on_stack(), 20U);
}

#if defined(__x86_64__)
constexpr std::uint64_t kPattern = 0x5EC2E75EC2E7A11AU;

__attribute__((noinline)) void fill_vector_registers() {
  __asm__ volatile(
      "vbroadcastsd %0, %%ymm0\n vmovapd %%ymm0, %%ymm1\n vmovapd %%ymm0, %%ymm5\n"
      "vmovapd %%ymm0, %%ymm8\n vmovapd %%ymm0, %%ymm15\n"
      :
      : "m"(kPattern)
      : "xmm0", "xmm1", "xmm5", "xmm8", "xmm15");
}

__attribute__((noinline)) void read_vector_registers(std::array<std::uint64_t, 20>& values) {
  __asm__ volatile(
      "vmovupd %%ymm0, (%0)\n vmovupd %%ymm1, 32(%0)\n vmovupd %%ymm5, 64(%0)\n"
      "vmovupd %%ymm8, 96(%0)\n vmovupd %%ymm15, 128(%0)\n"
      :
      : "r"(values.data())
      : "memory");
}

__attribute__((noinline)) void fill_high_registers() {
  __asm__ volatile("vbroadcastsd %0, %%zmm16\n vmovapd %%zmm16, %%zmm31\n" : : "m"(kPattern));
}

__attribute__((noinline)) void read_high_registers(std::array<std::uint64_t, 16>& values) {
  __asm__ volatile("vmovupd %%zmm16, (%0)\n vmovupd %%zmm31, 64(%0)\n"
                   :
                   : "r"(values.data())
                   : "memory");
}

TEST_F(ScopeTest, WhatWasInVectorRegistersIsGone) {
  if (!__builtin_cpu_supports("avx")) GTEST_SKIP() << "this CPU has no AVX";
  std::array<std::uint64_t, 20> values{};
  ASSERT_TRUE(run_protected([]() -> Status {
                fill_vector_registers();
                return {};
              }).ok());
  read_vector_registers(values);
  EXPECT_EQ(std::ranges::count(values, kPattern), 0);
  fill_vector_registers();  // and would be seen here
  read_vector_registers(values);
  EXPECT_GT(std::ranges::count(values, kPattern), 12);
}

TEST_F(ScopeTest, WhatWasInHighVectorRegistersIsGone) {
  if (!__builtin_cpu_supports("avx512f")) GTEST_SKIP() << "this CPU has no AVX-512";
  std::array<std::uint64_t, 16> values{};
  ASSERT_TRUE(run_protected([]() -> Status {
                fill_high_registers();
                return {};
              }).ok());
  read_high_registers(values);
  EXPECT_EQ(std::ranges::count(values, kPattern), 0);
  fill_high_registers();
  read_high_registers(values);
  EXPECT_EQ(std::ranges::count(values, kPattern), 16);
}
#endif

TEST_F(ScopeTest, WhatAThreadInAScopeHoldsOnItsOwnStackIsNoLeak) {
#if defined(VHSM_ASAN)
  std::atomic<bool> inside{false};
  std::atomic<bool> done{false};
  std::thread worker([&] {
    const auto held = std::make_unique<std::array<char, 100>>();
    static_cast<void>(run_protected([&]() -> Status {
      inside = true;
      while (!done) std::this_thread::yield();
      return {};
    }));
  });
  while (!inside) std::this_thread::yield();
  EXPECT_EQ(__lsan_do_recoverable_leak_check(), 0);
  done = true;
  worker.join();
#else
  GTEST_SKIP() << "for the leak checker of the asan stage";
#endif
}

/// Where the frames end, seen from inside a scope of the thread at hand.
std::vector<void*> frames_in_scope() {
  std::array<void*, 64> frames{};
  int count = 0;
  static_cast<void>(run_protected([&]() -> Status {
    count = ::backtrace(frames.data(), static_cast<int>(frames.size()));
    return {};
  }));
  return std::vector<void*>(frames.begin(), frames.begin() + count);
}

TEST_F(ScopeTest, ABacktraceLeadsOutOfTheProtectedStackToTheThreadsStart) {
  std::array<void*, 64> here{};
  const int depth = ::backtrace(here.data(), static_cast<int>(here.size()));
  const auto inside = frames_in_scope();
  ASSERT_GT(inside.size(), static_cast<std::size_t>(depth));
  EXPECT_EQ(inside.back(), here[static_cast<std::size_t>(depth) - 1]);
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
