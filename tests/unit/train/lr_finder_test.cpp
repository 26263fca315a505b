// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/lr_finder.h"

#include "pergola/rng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

namespace pergola::host {
namespace {

// Shows the finder the loss of each update until it has seen enough; how many those were.
int run(LrFinder& finder, const std::function<double(int update)>& loss_of) {
  int updates = 0;
  while (!finder.done()) finder.add(loss_of(updates++));
  return updates;
}

// From 1.7 down to 0.2, most steeply at update 60, and up again from update 85 on.
double falls_and_rises(int update) {
  const double rise = update < 85 ? 0 : std::exp((update - 85) / 1.5);
  return 1.5 / (1 + std::exp((update - 60) / 4.0)) + 0.2 + rise;
}

double rate_of(double update) { return 1e-8 * std::pow(1e8, update / 99); }

TEST(LrFinderTest, RatesGrowByOneFactorFromTheLowestToTheHighest) {
  LrFinder finder({.lowest = 1e-4, .highest = 1, .num_updates = 5});
  for (const double rate : {1e-4, 1e-3, 1e-2, 1e-1, 1.0}) {
    EXPECT_NEAR(finder.next_rate() / rate, 1, 1e-12);
    finder.add(1);
  }
  EXPECT_TRUE(finder.done());
}

// The logistic curve is symmetric there, so that smoothing must not move it.
TEST(LrFinderTest, TheSteepestPlaceIsSuggested) {
  LrFinder finder;
  EXPECT_LT(run(finder, falls_and_rises), 95);
  EXPECT_TRUE(finder.diverged());
  EXPECT_NEAR(std::log10(*finder.suggestion()), std::log10(rate_of(60)), 1.01 * 8 / 99);
}

// A tenth of the fall as noise moves it by less than three updates.
TEST(LrFinderTest, NoiseHidesItNot) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Rng noise(seed);
    LrFinder finder;
    run(finder,
        [&](int update) { return falls_and_rises(update) + 0.3 * (noise.uniform() - 0.5); });
    EXPECT_NEAR(std::log10(finder.suggestion().value()), std::log10(rate_of(60)), 3.01 * 8 / 99);
  }
}

TEST(LrFinderTest, ALossThatExplodesEndsItAndHidesNothing) {
  for (const double explosion :
       {1e12, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    LrFinder finder;
    EXPECT_EQ(
        run(finder, [&](int update) { return update < 80 ? falls_and_rises(update) : explosion; }),
        81);
    EXPECT_TRUE(finder.diverged());
    EXPECT_NEAR(std::log10(finder.suggestion().value()), std::log10(rate_of(60)), 1.01 * 8 / 99);
  }
}

// The average of 0.9 parts of 1 and 0.1 parts of 40 is beyond 4 times the lowest, 1; with 30 it is
// 3.9.
TEST(LrFinderTest, ItDivergesAtFourTimesTheLowest) {
  for (const auto& [last, diverged] : {std::pair(40.0, true), std::pair(30.0, false)}) {
    LrFinder finder;
    for (int i = 0; i < 90; ++i) finder.add(1);
    finder.add(last);
    EXPECT_EQ(finder.done(), diverged) << last;
  }
}

TEST(LrFinderTest, LossesMayBeNegative) {
  LrFinder finder;
  EXPECT_EQ(run(finder, [](int update) { return falls_and_rises(std::min(update, 84)) - 10; }),
            100);
  EXPECT_FALSE(finder.diverged());
  EXPECT_NEAR(std::log10(finder.suggestion().value()), std::log10(rate_of(60)), 1.01 * 8 / 99);
}

TEST(LrFinderTest, ALossThatFallsNowhereSuggestsNothing) {
  LrFinder constant;
  EXPECT_EQ(run(constant, [](int) { return 1.0; }), 100);
  EXPECT_FALSE(constant.suggestion().has_value());
  LrFinder rising;
  run(rising, [](int update) { return 1 + 0.01 * update; });
  EXPECT_FALSE(rising.suggestion().has_value());
  LrFinder none;
  run(none, [](int) { return std::numeric_limits<double>::quiet_NaN(); });
  EXPECT_FALSE(none.suggestion().has_value());
  EXPECT_TRUE(none.points().empty());
}

TEST(LrFinderTest, PointsHaveRateAndLossAndASmoothedOneUpToTheLowest) {
  LrFinder finder;
  run(finder, [](int update) { return update <= 50 ? 2.0 - 0.01 * update : 1.5; });
  const auto points = finder.points();
  ASSERT_EQ(points.size(), 100U);
  EXPECT_NEAR(points[0].rate, 1e-8, 1e-20);
  EXPECT_EQ(points[30].loss, 1.7);
  EXPECT_NEAR(points[30].smoothed.value(), 1.7, 0.02);
  LrFinder rises;
  run(rises, [](int update) { return 1 + std::abs(update - 40) * 0.01; });
  EXPECT_TRUE(rises.points()[40].smoothed.has_value());
  EXPECT_FALSE(rises.points()[99].smoothed.has_value());
}

}  // namespace
}  // namespace pergola::host
