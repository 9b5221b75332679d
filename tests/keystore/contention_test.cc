// SPDX-License-Identifier: Apache-2.0
//
// Threads that sign at the same time do not meet in any lock of ours: by its counters.
#include <array>
#include <barrier>
#include <functional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/keystore/held_keys.h"

namespace vhsm::keystore {
namespace {

class ContentionTest : public KeystoreTest,
                       public ::testing::WithParamInterface<std::tuple<const char*, std::size_t>> {
};

/// All threads sign `warm` times, then `before` is called, then each signs `count` times.
void sign_in_threads(const KeyPtr& key, std::size_t threads, int warm, int count,
                     const std::function<void()>& before) {
  std::barrier warmed(static_cast<std::ptrdiff_t>(threads), before);
  const auto sign = [&](int times) {
    std::array<std::uint8_t, 256> signature{};
    for (int i = 0; i < times; ++i) {
      ASSERT_TRUE(
          key->begin({OperationKind::kSign, "SHA256"}).value()->run(kDigest, signature).ok());
    }
  };
  std::vector<std::thread> all;
  for (std::size_t i = 0; i < threads; ++i) {
    all.emplace_back([&] {
      sign(warm);
      warmed.arrive_and_wait();
      sign(count);
    });
  }
  for (auto& thread : all) thread.join();
}

/// What `threads` did to each other while each signed `count` times.
memory::Usage meetings(const KeyPtr& key, std::size_t threads, int count) {
  memory::Usage before;
  sign_in_threads(key, threads, 50, count, [&] { before = memory::usage(); });
  memory::Usage met = memory::usage();
  met.lock_taken -= before.lock_taken;
  met.lock_contended -= before.lock_contended;
  met.slot_waits -= before.slot_waits;
  return met;
}

TEST_P(ContentionTest, SignaturesMeetInNoLock) {
  const auto [kind, threads] = GetParam();
  constexpr int kSignatures = 100;
  const KeyPtr key = held(kind);
  memory::Usage met = meetings(key, threads, kSignatures);
  // A thread that the system moves to another slot may have to refill it, and meet another that
  // does.
  for (int more = 0; more < 3 && met.lock_contended != 0; ++more) {
    met = meetings(key, threads, kSignatures);
  }
  EXPECT_EQ(met.lock_contended, 0U);
  EXPECT_EQ(met.slot_waits, 0U);
  EXPECT_LT(met.lock_taken, threads * kSignatures / 10);
}

INSTANTIATE_TEST_SUITE_P(Keys, ContentionTest,
                         ::testing::Combine(::testing::Values("P-256", "RSA2048"),
                                            ::testing::Values(1, 2, 4, 8)),
                         [](const auto& test) {
                           std::string kind = std::get<0>(test.param);
                           std::erase(kind, '-');
                           return kind + "_" + std::to_string(std::get<1>(test.param)) + "threads";
                         });

}  // namespace
}  // namespace vhsm::keystore
