// SPDX-License-Identifier: Apache-2.0
//
// The state machine of a lease, on a clock of the tests'.
#include "keystore/lease.h"

#include <gtest/gtest.h>

#include <ctime>

#include "tests/keystore/test_clock.h"

namespace vhsm::keystore {
namespace {

using namespace std::chrono_literals;

class LeaseTest : public ::testing::Test {
 protected:
  Lease lease_{GateTerms{Gate::kLease, 1h, 30min, test_now}};
};

TEST_F(LeaseTest, IsOverUntilItIsGranted) {
  EXPECT_EQ(lease_.state(), Lease::State::kOver);
  lease_.grant(test_now(), kLatest);
  EXPECT_EQ(lease_.state(), Lease::State::kOpen);
}

TEST_F(LeaseTest, IsDueInItsThirdQuarterAndOverAtItsEnd) {
  for (const int jitter : {0, 128, 255}) {
    const BootTime begin = test_now();
    lease_.grant(begin, static_cast<std::uint8_t>(jitter));
    EXPECT_EQ(lease_.due(), begin + 30min + BootTime(15min) * jitter / 255);
    g_now = (lease_.due() - 1ns).count();
    EXPECT_EQ(lease_.state(), Lease::State::kOpen);
    pass(1ns);
    EXPECT_EQ(lease_.state(), Lease::State::kDue);
    g_now = (begin + 1h - 1ns).count();
    EXPECT_EQ(lease_.state(), Lease::State::kDue);
    pass(1ns);
    EXPECT_EQ(lease_.state(), Lease::State::kOver);
  }
}

TEST_F(LeaseTest, CountsFromTheBeginOfTheProof) {
  const BootTime asked = test_now();
  pass(59min);  // the KBS took its time
  lease_.grant(asked, kLatest);
  EXPECT_EQ(lease_.state(), Lease::State::kDue);
  pass(1min);
  EXPECT_EQ(lease_.state(), Lease::State::kOver);
}

TEST_F(LeaseTest, AnOutageStretchesItOnceByTheGrace) {
  const BootTime begin = test_now();
  lease_.grant(begin, kLatest);
  EXPECT_TRUE(lease_.stretch());
  EXPECT_FALSE(lease_.stretch()) << "that is no news";
  g_now = (begin + 90min - 1ns).count();
  EXPECT_EQ(lease_.state(), Lease::State::kDue);
  pass(1ns);
  EXPECT_FALSE(lease_.stretch());
  EXPECT_EQ(lease_.state(), Lease::State::kOver);
  lease_.grant(test_now(), kLatest);
  EXPECT_EQ(lease_.state(), Lease::State::kOpen);
}

TEST_F(LeaseTest, WhatWasNeverGrantedIsNotStretched) {
  EXPECT_FALSE(lease_.stretch());
  EXPECT_EQ(lease_.state(), Lease::State::kOver);
}

TEST_F(LeaseTest, IsRevokedForGood) {
  lease_.grant(test_now(), kLatest);
  lease_.revoke();
  EXPECT_EQ(lease_.state(), Lease::State::kRevoked);
  lease_.grant(test_now(), kLatest);
  EXPECT_FALSE(lease_.stretch());
  EXPECT_EQ(lease_.state(), Lease::State::kRevoked);
}

TEST(FirstUse, LastsOnceItIsGranted) {
  Lease lease(GateTerms{Gate::kFirstUse, 0ms, 0ms, test_now});
  EXPECT_EQ(lease.state(), Lease::State::kOver);
  lease.grant(test_now(), kLatest);
  pass(24h * 365);
  EXPECT_EQ(lease.state(), Lease::State::kOpen);
  EXPECT_TRUE(lease.lasts());
}

TEST(BootClock, GoesOnAndIsNotTheWallClock) {
  const BootTime first = boot_now();
  timespec now{};
  ASSERT_EQ(::clock_gettime(CLOCK_BOOTTIME, &now), 0);
  EXPECT_LE(first, std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
  EXPECT_GE(boot_now(), first);
}

}  // namespace
}  // namespace vhsm::keystore
