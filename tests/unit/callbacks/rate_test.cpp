// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/rate.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace pergola::host {
namespace {

TEST(RateTest, DurationsAreHoursMinutesAndSeconds) {
  EXPECT_EQ(format_duration(0), "0:00:00");
  EXPECT_EQ(format_duration(59.6), "0:01:00");
  EXPECT_EQ(format_duration(100 * 3600 + 61), "100:01:01");
}

TEST(RateTest, DurationBelowZeroIsZero) { EXPECT_EQ(format_duration(-5), "0:00:00"); }

TEST(RateTest, BeforeTheFirstUpdateNothingIsKnown) {
  Rate rate;
  rate.start(7);
  EXPECT_EQ(rate.samples_per_second(0), 0.0);
  EXPECT_EQ(rate.time_left(7, 100), "?");
  EXPECT_LT(rate.seconds_left(7, 100), 0);
}

TEST(RateTest, CountsWhatThisProcessDid) {
  Rate rate;
  rate.start(100);  // of an earlier process
  const auto begin = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double rate_now = rate.samples_per_second(50);
  const std::chrono::duration<double> most = std::chrono::steady_clock::now() - begin;
  EXPECT_LE(rate_now, 50 / 0.02);
  EXPECT_GE(rate_now, 50 / (most.count() + 0.02));
  // One update of this process took 20 ms or more: 180,000 updates take an hour or more.
  EXPECT_NE(rate.time_left(101, 101 + 180000).substr(0, 2), "0:");
}

// A million updates of 20 ms each would take longer.
TEST(RateTest, ALimitOfTimeIsTheEndWhereItComesFirst) {
  Rate rate;
  rate.start(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(rate.seconds_left(1, 1'000'000, 7.0), 7);
  EXPECT_EQ(rate.time_left(1, 1'000'000, 7.0), "0:00:07");
  EXPECT_EQ(rate.seconds_left(0, 1'000'000, 7.0), 7) << "before the first update, too";
  EXPECT_EQ(rate.seconds_left(3, 3, 7.0), 0);
}

TEST(RateTest, ARunBeyondItsEndHasNothingLeft) {
  Rate rate;
  rate.start(0);
  EXPECT_EQ(rate.time_left(12, 6), "0:00:00");
}

}  // namespace
}  // namespace pergola::host
