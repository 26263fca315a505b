// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/interval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using Unit = Duration::Unit;

// The updates after which it is due, of the first so many.
std::vector<std::int64_t> due(Duration duration, std::int64_t updates_per_epoch,
                              std::int64_t updates) {
  const Interval interval(duration, updates_per_epoch, Interval::Zero::kNever);
  std::vector<std::int64_t> found;
  for (std::int64_t update = 1; update <= updates; ++update) {
    if (interval.due({.update = update})) found.push_back(update);
  }
  return found;
}

// 0.07 * 100 is 7.000000000000001, and 0.29 * 100 is 28.999999999999996.
TEST(IntervalTest, PartsOfAnEpochThatAreWholeUpdatesAreDueInThese) {
  EXPECT_THAT(due({0.07, Unit::kEpochs}, 100, 30), ElementsAre(7, 14, 21, 28));
  EXPECT_THAT(due({0.29, Unit::kEpochs}, 100, 100), ElementsAre(29, 58, 87));
  const std::vector<std::int64_t> all = due({0.07, Unit::kEpochs}, 100, 70'000);
  ASSERT_THAT(all, SizeIs(10'000));
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], 7 * (i + 1));
}

TEST(IntervalTest, OtherPartsAreDueInTheUpdateThatCompletesThem) {
  // 1.5 updates: completed in updates 2, 3, 5, 6.
  EXPECT_THAT(due({0.5, Unit::kEpochs}, 3, 6), ElementsAre(2, 3, 5, 6));
  // 3.5 updates, as 0.07 * 50 = 3.5000000000000004.
  EXPECT_THAT(due({0.07, Unit::kEpochs}, 50, 15), ElementsAre(4, 7, 11, 14));
  // A third of 10 updates, written with few digits: 3.33, 6.66, 9.99, 13.32.
  EXPECT_THAT(due({0.333, Unit::kEpochs}, 10, 14), ElementsAre(4, 7, 10, 14));
}

TEST(IntervalTest, LessThanAnUpdateIsDueInEach) {
  for (const double part : {1e-9, 0.01, 0.1, 0.33}) {
    EXPECT_THAT(due({part, Unit::kEpochs}, 3, 1000), SizeIs(1000)) << part;
  }
}

TEST(IntervalTest, UpdatesAreCountedFromTheFirst) {
  EXPECT_THAT(due({4, Unit::kUpdates}, 3, 12), ElementsAre(4, 8, 12));
  EXPECT_THAT(due({1e12, Unit::kUpdates}, 3, 100), SizeIs(0));
}

TEST(IntervalTest, SecondsThatWereRestoredCount) {
  Interval interval({1000, Unit::kSeconds}, 3, Interval::Zero::kNever);
  interval.restore(999);
  interval.start();
  EXPECT_FALSE(interval.due({.update = 1}));
  EXPECT_GE(interval.seconds().value(), 999);
  interval.restore(1000);
  EXPECT_TRUE(interval.due({.update = 1}));
  interval.restart();
  EXPECT_FALSE(interval.due({.update = 1}));
  EXPECT_LT(interval.seconds().value(), 999);
}

TEST(IntervalTest, OneInUpdatesHasNoSeconds) {
  EXPECT_EQ(Interval({4}, 3, Interval::Zero::kNever).seconds(), std::nullopt);
}

}  // namespace
}  // namespace pergola::host
