// SPDX-License-Identifier: Apache-2.0
//
// A program of its own: the limit counts at the first start in a process.
#include <sys/resource.h>

#include <gtest/gtest.h>

#include <string>

#include "memory/protected_memory.h"

namespace vhsm::memory {
namespace {

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
