// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/uio.h>

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "memory/checks.h"
#include "memory/secret_bytes.h"
#include "tests/memory/fixture.h"

namespace vhsm::memory {
namespace {

using ArenaTest = MemoryTest;

bool all_zero(const void* data, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  return std::all_of(bytes, bytes + size, [](unsigned char b) { return b == 0; });
}

bool locked_form() {
  const char* form = std::getenv("VHSM_MEMORY");
  return form != nullptr && std::string(form) == "locked";
}

TEST_F(ArenaTest, TheFormIsTheOneThatWasAskedFor) {
  EXPECT_EQ(kind(), locked_form() ? Kind::kLocked : Kind::kSecretMemory)
      << "no memfd_secret on this kernel (before 6.5 it needs secretmem.enable=1)";
}

TEST_F(ArenaTest, AllocatedMemoryIsZeroAndAligned) {
  for (const std::size_t size : {1U, 15U, 16U, 17U, 100U, 2048U, 2049U, 5000U, 70000U}) {
    void* object = allocate(size);
    ASSERT_NE(object, nullptr) << size;
    EXPECT_TRUE(contains(object));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(object) % 16, 0U);
    const Access access;
    EXPECT_TRUE(all_zero(object, size)) << size;
    std::memset(object, 0xA5, size);
    release(object);
  }
}

/// Reads what is nobody's any more.
VHSM_UNCHECKED_ACCESS int count_after_free(const volatile unsigned char* bytes, int size,
                                           unsigned char wanted) {
  int found = 0;
  for (int i = 0; i < size; ++i) found += bytes[i] == wanted ? 1 : 0;
  return found;
}

TEST_F(ArenaTest, FreedMemoryIsWipedAtOnce) {
  auto* object = static_cast<unsigned char*>(allocate(512));
  ASSERT_NE(object, nullptr);
  const Access access;
  std::memset(object, 0xA5, 512);
  release(object);
  EXPECT_EQ(count_after_free(object, 512, 0xA5), 0);
}

TEST_F(ArenaTest, WhatIsFreedCanBeHadAgain) {
  const std::size_t before = in_use_bytes();
  for (int round = 0; round < 2000; ++round) {
    void* small = allocate(40);
    void* large = allocate(100'000);
    ASSERT_NE(small, nullptr);
    ASSERT_NE(large, nullptr);
    release(large);
    release(small);
  }
  EXPECT_EQ(in_use_bytes(), before);
}

TEST_F(ArenaTest, ObjectsOfManyThreadsNeverOverlap) {
  const auto work = [](unsigned seed) {
    const Access access;
    std::mt19937 random(seed);
    std::vector<std::pair<unsigned char*, std::size_t>> live;
    for (int step = 0; step < 3000; ++step) {
      if (live.size() < 40 && random() % 3 != 0) {
        const std::size_t size = 1 + random() % 3000;
        auto* object = static_cast<unsigned char*>(allocate(size));
        ASSERT_NE(object, nullptr);
        std::memset(object, static_cast<int>(seed), size);
        live.emplace_back(object, size);
      } else if (!live.empty()) {
        std::swap(live[random() % live.size()], live.back());
        const auto [object, size] = live.back();
        live.pop_back();
        ASSERT_EQ(static_cast<std::size_t>(std::count(object, object + size, seed)), size);
        release(object);
      }
    }
    for (const auto& entry : live) release(entry.first);
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 6; ++seed) threads.emplace_back(work, seed);
  for (auto& thread : threads) thread.join();
}

TEST_F(ArenaTest, AFullArenaAnswersNullAndRecovers) {
  std::vector<void*> all;
  while (void* object = allocate(64 << 10)) all.push_back(object);
  EXPECT_GT(all.size(), 2U);
  EXPECT_EQ(SecretBytes::zeros(64 << 10).ok(), false);
  EXPECT_EQ(SecretBytes::zeros(64 << 10).error().code, Errc::kMemoryLimit);
  for (void* object : all) release(object);
  EXPECT_TRUE(SecretBytes::zeros(64 << 10).ok());
}

TEST_F(ArenaTest, AnObjectMayReachOverChunks) {
  const std::size_t size = usage().capacity_bytes / 2;
  auto* object = static_cast<unsigned char*>(allocate(size));
  ASSERT_NE(object, nullptr);
  const Access access;
  EXPECT_TRUE(all_zero(object, size));
  std::memset(object, 0x5A, size);
  EXPECT_EQ(static_cast<std::size_t>(std::count(object, object + size, 0x5A)), size);
  release(object);
}

TEST_F(ArenaTest, PagesOfSmallObjectsServeLargeOnesOnceTheyAreFree) {
  std::vector<void*> all;
  while (void* object = allocate(64)) all.push_back(object);
  for (void* object : all) release(object);
  void* const large = allocate(usage().capacity_bytes / 2);
  EXPECT_NE(large, nullptr);
  release(large);
}

TEST_F(ArenaTest, WhatIdleThreadsKeepAtHandIsTakenBackWhenMemoryRunsOut) {
  const auto stock_up = [] {
    std::vector<void*> some;
    for (int i = 0; i < 30; ++i) some.push_back(allocate(16 << 10));
    for (void* object : some) release(object);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back(stock_up);
  for (auto& thread : threads) thread.join();
  std::vector<void*> all;
  while (void* object = allocate(16 << 10)) all.push_back(object);
  for (void* object : all) release(object);
  const std::size_t room = all.size();
  EXPECT_GT(room * ((16 << 10) + checks::kCanaryBytes) + usage().in_use_bytes + (64 << 10),
            usage().capacity_bytes / 5 * (checks::kChecked ? 3 : 5));
}

TEST_F(ArenaTest, AnOperationThatRepeatsItselfTakesNoLock) {
  const auto use = [] {
    static_cast<void>(run_protected([]() -> Status {
      std::array<void*, 12> objects{};
      for (std::size_t i = 0; i < objects.size(); ++i) objects[i] = allocate(40 + 200 * i);
      void* const table = allocate(8 << 10);  // as an RSA signature has
      for (void* object : objects) release(object);
      release(table);
      return {};
    }));
  };
  for (int i = 0; i < 5; ++i) use();
  const Usage before = usage();
  for (int i = 0; i < 1000; ++i) use();
  EXPECT_EQ(usage().lock_taken, before.lock_taken);
}

TEST_F(ArenaTest, ASecondFreeEndsTheProcess) {
  EXPECT_NE(in_child([] {
              void* object = allocate(100);
              release(object);
              release(object);
              return 0;
            }),
            0);
  EXPECT_NE(in_child([] {
              void* object = allocate(3 * 4096);
              release(object);
              release(object);
              return 0;
            }),
            0);
}

TEST_F(ArenaTest, CheckedBuildsEndAtAFreeOfWhatIsNoObjectOrWasWrittenPastItsEnd) {
  if (!checks::kChecked) GTEST_SKIP() << "release builds do not pay for it";
  EXPECT_NE(in_child([] {
              void* object = allocate(100);
              void* other = allocate(100);
              release(object);
              release(other);
              release(object);
              return 0;
            }),
            0);
  EXPECT_NE(in_child([] {
              release(static_cast<char*>(allocate(100)) + 16);
              return 0;
            }),
            0);
  EXPECT_NE(in_child([] {
              auto* object = static_cast<volatile char*>(allocate(100));
              object[128 - 1] = 1;
              release(const_cast<char*>(object));
              return 0;
            }),
            0);
}

TEST_F(ArenaTest, AnAbsurdSizeIsRefused) {
  EXPECT_EQ(allocate(static_cast<std::size_t>(-1)), nullptr);
  EXPECT_EQ(allocate(static_cast<std::size_t>(-1) / 2), nullptr);
}

TEST_F(ArenaTest, AForeignPointerInTheArenaEndsTheProcess) {
  auto* object = static_cast<char*>(allocate(5 * 4096));
  EXPECT_EQ(in_child([&] {
              release(object + 4096);
              return 0;
            }),
            -1);
  release(object);
}

TEST_F(ArenaTest, SecretMemoryIsUnreadableThroughTheKernel) {
  if (locked_form())
    GTEST_SKIP() << "locked pages are readable by a debugger; only swap is ruled out";
  auto secret = SecretBytes::copy(std::vector<std::uint8_t>(64, 0x5A));
  ASSERT_TRUE(secret.ok());
  char copy[64];
  iovec here{copy, sizeof copy};
  iovec there{secret.value().expose().data(), sizeof copy};
  EXPECT_EQ(::process_vm_readv(::getpid(), &here, 1, &there, 1, 0), -1);
  std::ifstream self("/proc/self/mem", std::ios::binary);
  self.seekg(static_cast<std::streamoff>(
      reinterpret_cast<std::uintptr_t>(secret.value().expose().data())));
  self.read(copy, sizeof copy);
  EXPECT_FALSE(self.good());
}

TEST_F(ArenaTest, NoPageOfItIsEverDumpedOrSwapped) {
  auto secret = SecretBytes::zeros(64);
  ASSERT_TRUE(secret.ok());
  const auto address = reinterpret_cast<std::uintptr_t>(secret.value().expose().data());
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  bool secret_memory = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      inside = from <= address && address < to;
      secret_memory = line.find("secretmem") != std::string::npos;
    } else if (inside && line.starts_with("VmFlags:")) {
      EXPECT_NE(line.find(" dd"), std::string::npos) << line;
      // Secret memory is nowhere but in memory; newer kernels do not count it as locked.
      EXPECT_TRUE(secret_memory || line.find(" lo") != std::string::npos) << line;
      return;
    }
  }
  FAIL() << "the arena is not in /proc/self/smaps";
}

TEST(SecretBytesTest, CopiesOnlyWhenAskedTo) {
  static_assert(!std::is_copy_constructible_v<SecretBytes>);
  static_assert(!std::is_copy_assignable_v<SecretBytes>);
  ASSERT_TRUE(initialise({}).ok());
  auto first = SecretBytes::copy(std::vector<std::uint8_t>{1, 2, 3});
  ASSERT_TRUE(first.ok());
  auto second = first.value().clone();
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(first.value().equals(second.value()));
  const Access access;
  second.value().expose()[0] = 9;
  EXPECT_FALSE(first.value().equals(second.value()));
  second.value().truncate(2);
  EXPECT_FALSE(first.value().equals(second.value()));
}

}  // namespace
}  // namespace vhsm::memory
