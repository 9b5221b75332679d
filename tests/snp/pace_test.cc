// SPDX-License-Identifier: Apache-2.0
//
// When a guest asks its host, and how long a caller waits for that.
#include "snp/pace.h"

#include <future>
#include <thread>

#include "snp/sev_guest.h"
#include "snp/within.h"
#include "tests/snp/machine.h"
#include "tests/snp/support.h"

namespace vhsm::snp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint kStart{seconds(1000)};
constexpr TimePoint kNever = TimePoint::max();

TEST(PaceTest, TakesSoManyTurnsAtOnceAndOneEachIntervalThen) {
  Pace pace({seconds(2), 3});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pace.take(kStart, kNever), kStart);
  EXPECT_EQ(pace.take(kStart, kNever), kStart + seconds(2));
  EXPECT_EQ(pace.take(kStart, kNever), kStart + seconds(4));
  EXPECT_EQ(pace.take(kStart + seconds(9), kNever), kStart + seconds(9));
}

TEST(PaceTest, ARestEarnsAllTurnsAtOnceAgainButNoMore) {
  Pace pace({seconds(2), 2});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(pace.take(kStart, kNever), kStart);
  const TimePoint later = kStart + seconds(3600);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(pace.take(later, kNever), later);
  EXPECT_EQ(pace.take(later, kNever), later + seconds(2));
}

TEST(PaceTest, ATurnAfterTheDeadlineIsNotTaken) {
  Pace pace({seconds(2), 1});
  EXPECT_EQ(pace.take(kStart, kNever), kStart);
  EXPECT_EQ(pace.take(kStart, kStart + seconds(1)), std::nullopt);
  EXPECT_EQ(pace.take(kStart, kStart + seconds(2)), kStart + seconds(2));
}

TEST(WithinTest, GivesTheAnswerOrTheErrorOfTheWork) {
  const TimePoint deadline = Clock::now() + seconds(30);
  EXPECT_EQ(within(deadline, "x", [] { return Result<int>(7); }).value(), 7);
  EXPECT_EQ(within(kNoDeadline, "x", [] { return Result<int>(7); }).value(), 7);
  EXPECT_EQ(within(deadline, "x", [] { return Result<int>(fail(Errc::kIo, "no")); }).error().code,
            Errc::kIo);
}

TEST(DeadlineTest, NoCallerWaitsForABusyHostBeyondItsDeadline) {
  std::promise<void> go;
  {
    SevGuest guest(std::make_unique<StuckDevice>(go.get_future().share()), 0);
    const auto start = Clock::now();
    EXPECT_EQ(outcome(guest.attest({}, start + milliseconds(50))),
              "platform failure: the platform did not answer in time");
    EXPECT_LT(Clock::now() - start, seconds(10));
  }  // the guest goes, its requests stay
  go.set_value();
}

TEST(DeadlineTest, ACallerWhoseTurnWouldComeTooLateIsToldAtOnce) {
  std::promise<void> go;
  go.set_value();
  SevGuest guest(std::make_unique<StuckDevice>(go.get_future().share()), 0, {seconds(3600), 2});
  EXPECT_EQ(outcome(guest.attest({}, Clock::now() + seconds(30))),
            "platform failure: the kernel refuses the request as malformed");
  EXPECT_EQ(outcome(guest.attest({}, Clock::now() + seconds(30))),
            "platform failure: too many requests in too short a time");
}

}  // namespace
}  // namespace vhsm::snp
