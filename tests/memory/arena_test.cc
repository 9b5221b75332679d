// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/uio.h>

#include <openssl/crypto.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

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
    EXPECT_TRUE(all_zero(object, size)) << size;
    std::memset(object, 0xA5, size);
    release(object);
  }
}

TEST_F(ArenaTest, FreedMemoryIsWipedAtOnce) {
  auto* object = static_cast<unsigned char*>(allocate(512));
  ASSERT_NE(object, nullptr);
  std::memset(object, 0xA5, 512);
  release(object);
  EXPECT_EQ(std::count(object, object + 512, 0xA5), 0);
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
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      inside = from <= address && address < to;
    } else if (inside && line.starts_with("VmFlags:")) {
      EXPECT_NE(line.find(" dd"), std::string::npos) << line;
      EXPECT_NE(line.find(" lo"), std::string::npos) << line;
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
  second.value().expose()[0] = 9;
  EXPECT_FALSE(first.value().equals(second.value()));
  second.value().truncate(2);
  EXPECT_FALSE(first.value().equals(second.value()));
}

}  // namespace
}  // namespace vhsm::memory
