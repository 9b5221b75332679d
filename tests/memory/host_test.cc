// SPDX-License-Identifier: Apache-2.0
//
// What hosts do around us: handlers of their own at fork, locks, cancelled threads, signals,
// mappings. A program of its own, and each claim in a child that starts protected memory anew: the
// order in which a host and we arrange things matters.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/memory/fixture.h"

namespace vhsm::memory {
namespace {

constexpr std::size_t kBlockBytes = 16 << 10;

std::function<void()> g_at_prepare;
std::function<void()> g_at_parent;
std::function<void()> g_at_child;

/// A host whose handlers were there before ours.
void arrange_host() {
  ::pthread_atfork(
      [] {
        if (g_at_prepare) g_at_prepare();
      },
      [] {
        if (g_at_parent) g_at_parent();
      },
      [] {
        if (g_at_child) g_at_child();
      });
}

std::vector<unsigned char*> map_blocks(int count) {
  std::vector<unsigned char*> blocks;
  for (int i = 0; i < count; ++i) {
    void* block =
        ::mmap(nullptr, kBlockBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) continue;
    std::memset(block, 0x77, kBlockBytes);
    blocks.push_back(static_cast<unsigned char*>(block));
  }
  return blocks;
}

bool are_whole(const std::vector<unsigned char*>& blocks) {
  return std::ranges::all_of(blocks, [](const unsigned char* block) {
    return std::all_of(block, block + kBlockBytes, [](unsigned char byte) { return byte == 0x77; });
  });
}

bool sees_secret_memory() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("secretmem") != std::string::npos) return true;
  }
  return false;
}

bool works() {
  return run_protected([]() -> Status { return {}; }).ok();
}

TEST(HostTest, WhatItMapsInItsForkHandlerIsNotOverwritten) {
  EXPECT_EQ(in_child([] {
              arrange_host();
              if (!initialise({}).ok()) return 1;
              static std::vector<unsigned char*> blocks;
              g_at_child = [] { blocks = map_blocks(64); };
              return in_child([] { return works() && are_whole(blocks) ? 0 : 2; });
            }),
            0);
}

TEST(HostTest, WhatItMapsAfterAGrowthThatWasRefusedIsNotOverwritten) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  EXPECT_EQ(in_child([] {
              const rlimit limit{2 << 20, 8 << 20};
              if (!initialise({}).ok() || ::setresuid(65534, 65534, 65534) != 0) return 1;
              ::setrlimit(RLIMIT_MEMLOCK, &limit);
              std::vector<void*> all;
              while (void* object = allocate(60 << 10)) all.push_back(object);
              const auto blocks = map_blocks(300);
              if (std::ranges::any_of(blocks, [](const void* block) { return contains(block); }))
                return 2;
              const rlimit more{8 << 20, 8 << 20};
              ::setrlimit(RLIMIT_MEMLOCK, &more);
              while (void* object = allocate(60 << 10)) all.push_back(object);
              return are_whole(blocks) && works() ? 0 : 3;
            }),
            0);
}

TEST(HostTest, ItsForkHandlersMayUseKeys) {
  EXPECT_EQ(in_child([] {
              arrange_host();
              if (!initialise({}).ok()) return 1;
              static void* held = allocate(100);
              g_at_prepare = [] { static_cast<void>(works()); };
              g_at_parent = [] { release(held); };
              return in_child([] { return works() ? 0 : 2; });
            }),
            0);
}

// T2
TEST(HostTest, ALockThatItsForkHandlerWantsAndAWorkerHasHoldsNothingUpForGood) {
  EXPECT_EQ(in_child([] {
              static std::mutex lock;
              arrange_host();
              if (!initialise({}).ok()) return 1;
              g_at_prepare = [] { lock.lock(); };
              g_at_parent = [] { lock.unlock(); };
              g_at_child = [] { lock.unlock(); };
              std::atomic<bool> over{false};
              std::thread worker([&] {
                while (!over) {
                  const std::lock_guard guard(lock);
                  static_cast<void>(works());
                }
              });
              int failures = 0;
              for (int i = 0; i < 10; ++i) failures += in_child([] { return 0; });
              over = true;
              worker.join();
              return failures == 0 && in_child([] { return works() ? 0 : 1; }) == 0 ? 0 : 2;
            }),
            0);
}

TEST(HostTest, AChildWithoutKeysChangesNothingOfItsParents) {
  EXPECT_EQ(in_child([] {
              if (!initialise({}).ok()) return 1;
              std::atomic<int> step{0};
              std::thread worker([&] {
                static_cast<void>(run_protected([&]() -> Status {
                  step = 1;
                  while (step != 2) ::sched_yield();
                  return {};
                }));
              });
              while (step != 1) ::sched_yield();
              const int child = in_child([] {
                for (int i = 0; i < 3; ++i)
                  ERR_raise_data(ERR_LIB_USER, 1, "the child's own %d", i);
                if (run_protected([]() -> Status { return {}; }).ok()) return 1;
                return sees_secret_memory() ? 3 : 0;
              });
              step = 2;
              worker.join();
              const bool untouched = ERR_peek_error() == 0;
              ERR_clear_error();
              if (child != 0) return 10 + child;
              return untouched && works() ? 0 : 2;
            }),
            0);
}

TEST(HostTest, ACancelledThreadFinishesItsScopeFirst) {
  EXPECT_EQ(in_child([] {
              if (!initialise({}).ok()) return 1;
              static std::atomic<bool> finished{false};
              pthread_t thread{};
              ::pthread_create(
                  &thread, nullptr,
                  [](void*) -> void* {
                    ::pthread_cancel(::pthread_self());
                    static_cast<void>(run_protected([]() -> Status {
                      for (int i = 0; i < 12; ++i)
                        static_cast<void>(allocate(64 << 10));  // it grows
                      finished = true;
                      return {};
                    }));
                    ::pthread_testcancel();
                    return nullptr;
                  },
                  nullptr);
              void* result = nullptr;
              ::pthread_join(thread, &result);
              return finished && result == PTHREAD_CANCELED && works() ? 0 : 2;
            }),
            0);
}

TEST(HostTest, AThreadThatJumpedOutOfAScopeCanStillBeCancelled) {
  EXPECT_EQ(in_child([] {
              if (!initialise({}).ok()) return 1;
              static sigjmp_buf way_out;
              std::vector<char> alternate(64 << 10);
              stack_t stack{};
              stack.ss_sp = alternate.data();
              stack.ss_size = alternate.size();
              ::sigaltstack(&stack, nullptr);
              struct sigaction action {};
              action.sa_handler = [](int) { siglongjmp(way_out, 1); };
              action.sa_flags = SA_ONSTACK;
              ::sigaction(SIGTRAP, &action, nullptr);
              if (sigsetjmp(way_out, 1) == 0) {
                static_cast<void>(run_protected([]() -> Status {
                  ::raise(SIGTRAP);
                  return {};
                }));
              }
              if (!works()) return 2;
              int state = -1;
              ::pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
              return state == PTHREAD_CANCEL_ENABLE ? 0 : 3;
            }),
            0);
}

TEST(HostTest, SignalsThatItHasBlockedStayBlocked) {
  EXPECT_EQ(in_child([] {
              if (!initialise({}).ok()) return 1;
              sigset_t all;
              sigfillset(&all);
              ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
              ::kill(::getpid(), SIGTRAP);
              if (!works()) return 2;
              const timespec now{0, 0};
              return ::sigtimedwait(&all, nullptr, &now) == SIGTRAP ? 0 : 3;
            }),
            0);
}

TEST(HostTest, AStartThatFailedCanBeTriedAgain) {
  EXPECT_EQ(in_child([] {
              std::vector<pthread_key_t> keys;
              pthread_key_t key{};
              while (::pthread_key_create(&key, nullptr) == 0) keys.push_back(key);
              if (initialise({}).ok()) return 1;
              for (const pthread_key_t taken : keys) ::pthread_key_delete(taken);
              if (!initialise({}).ok()) return 2;
              return in_child([] { return works() ? 0 : 3; });
            }),
            0);
}

}  // namespace
}  // namespace vhsm::memory
