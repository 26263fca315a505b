// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/batch_limit.h"
#include "host/config/duration.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;
using Unit = Duration::Unit;

Duration duration(Value value) {
  return Duration::parse(Config(Value::Table{{"after", std::move(value)}}, "training"), "after");
}
BatchLimit limit(Value value) {
  return BatchLimit::parse(Config(Value::Table{{"limit", std::move(value)}}, "training"), "limit");
}

TEST(DurationTest, AWholeNumberIsUpdates) {
  EXPECT_EQ(duration(0), (Duration{0, Unit::kUpdates}));
  EXPECT_EQ(duration(1000), (Duration{1000, Unit::kUpdates}));
  EXPECT_EQ(duration("1 update"), (Duration{1, Unit::kUpdates}));
  EXPECT_EQ(duration("250 updates"), (Duration{250, Unit::kUpdates}));
}

TEST(DurationTest, EpochsMayBeFractions) {
  EXPECT_EQ(duration("0.5 epochs"), (Duration{0.5, Unit::kEpochs}));
  EXPECT_EQ(duration("2epochs"), (Duration{2, Unit::kEpochs}));
}

TEST(DurationTest, TimesAreSeconds) {
  EXPECT_EQ(duration("90 seconds"), (Duration{90, Unit::kSeconds}));
  EXPECT_EQ(duration("1.5 minutes"), (Duration{90, Unit::kSeconds}));
  EXPECT_EQ(duration("2 hours"), (Duration{7200, Unit::kSeconds}));
  EXPECT_EQ(duration("1 day"), (Duration{86400, Unit::kSeconds}));
}

TEST(DurationTest, AClockHasHoursOrDaysFirst) {
  EXPECT_EQ(duration("1:30:00"), (Duration{5400, Unit::kSeconds}));
  EXPECT_EQ(duration("48:00:05"), (Duration{48 * 3600 + 5, Unit::kSeconds}));
  EXPECT_EQ(duration("1:02:03:04"), (Duration{86400 + 2 * 3600 + 3 * 60 + 4, Unit::kSeconds}));
}

TEST(DurationTest, RefusesWhatIsNone) {
  for (const char* text : {"", "soon", "5", "5 parsecs", "1:30", "1:60:00", "1:00:60", "1:24:00:00",
                           "1:00:00:00:00", "1.5:00:00", ":1:2:3", "1:2:", "nan minutes",
                           "inf hours", "1e3 updates", "5 minutes or so"}) {
    EXPECT_THAT(test::error_of([&] { (void)duration(text); }), HasSubstr("is no duration")) << text;
  }
  EXPECT_THAT(
      test::error_of([] { (void)duration("soon"); }),
      HasSubstr("training.after = \"soon\" is no duration; expected a number of updates, or "
                "text such as \"500 updates\""));
}

TEST(DurationTest, RefusesWhatIsOutOfRange) {
  for (const Value& value :
       {Value(-1), Value("-1 epochs"), Value("-2 hours"), Value("1000000000001 epochs")}) {
    EXPECT_THAT(test::error_of([&] { (void)duration(value); }), HasSubstr("is out of range"))
        << to_string(value);
  }
  EXPECT_THAT(test::error_of([] { (void)duration("0.5 updates"); }),
              HasSubstr("is a part of an update"));
}

TEST(DurationTest, APartOfAnUpdateIsOneButNotWhatMultiplicationRounds) {
  EXPECT_EQ((Duration{7, Unit::kUpdates}.to_updates(100)), 7);
  EXPECT_EQ((Duration{2, Unit::kEpochs}.to_updates(100)), 200);
  EXPECT_EQ((Duration{0.5, Unit::kEpochs}.to_updates(3)), 2);
  // 0.07 * 100 is 7.000000000000001.
  EXPECT_EQ((Duration{0.07, Unit::kEpochs}.to_updates(100)), 7);
  EXPECT_EQ((Duration{0.0701, Unit::kEpochs}.to_updates(100)), 8);
  EXPECT_EQ((Duration{0, Unit::kEpochs}.to_updates(100)), 0);
}

TEST(DurationTest, MoreUpdatesThanCanBeCountedAreVeryMany) {
  EXPECT_EQ((Duration{1e12, Unit::kEpochs}.to_updates(std::int64_t{1} << 40)),
            9'000'000'000'000'000'000);
}

TEST(DurationTest, AnEpochHasAnUpdateForEachGroupOfBatchesAndForTheRest) {
  EXPECT_EQ(updates_in_epoch(6, 1), 6);
  EXPECT_EQ(updates_in_epoch(6, 3), 2);
  EXPECT_EQ(updates_in_epoch(7, 3), 3);
  EXPECT_EQ(updates_in_epoch(2, 1'000'000), 1);
}

TEST(BatchLimitTest, AnIntegerCountsAndAFractionIsAPart) {
  EXPECT_EQ(limit(1).of(10), 1);
  EXPECT_EQ(limit(1.0).of(10), 10);
  EXPECT_EQ(limit(25).of(10), 10);
  EXPECT_EQ(limit(0.25).of(10), 2);
  EXPECT_EQ(limit(0).of(10), 0);
  EXPECT_EQ(limit(0.0).of(10), 0);
}

// 0.29 * 100 is 28.999999999999996.
TEST(BatchLimitTest, AFractionThatIsWholeBatchesIsThese) {
  for (int part = 1; part <= 100; ++part) EXPECT_EQ(limit(part / 100.0).of(100), part);
  EXPECT_EQ(limit(0.299).of(100), 29);
}

TEST(BatchLimitTest, ZeroIsZeroInBothForms) {
  EXPECT_TRUE(limit(0).is_zero());
  EXPECT_TRUE(limit(0.0).is_zero());
  for (const Value& value : {Value(1), Value(1.0), Value(0.001)}) {
    EXPECT_FALSE(limit(value).is_zero()) << to_string(value);
  }
}

TEST(BatchLimitTest, AFractionLeavesOneBatchAtLeast) {
  EXPECT_EQ(limit(0.01).of(10), 1);
  EXPECT_EQ(limit(0.01).of(0), 0);
}

TEST(BatchLimitTest, RefusesMoreThanAllAndLessThanNothing) {
  for (const Value& value : {Value(-1), Value(-0.5), Value(1.5)}) {
    EXPECT_THAT(test::error_of([&] { (void)limit(value); }),
                HasSubstr("expected a whole number of batches, such as 10, or a fraction"))
        << to_string(value);
  }
}

}  // namespace
}  // namespace pergola::host
