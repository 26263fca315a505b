// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/progress_callback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::EndsWith;
using testing::StartsWith;

ProgressPoint point(std::int64_t update, std::int64_t max_updates) {
  return {"training", update, max_updates, "updates", {"345 samples/s", "0:00:07 left"}};
}

TEST(ProgressLineTest, ShowsHowFarHowFastAndHowLongStill) {
  // A quarter of 24 places is 6.
  EXPECT_EQ(progress_line(point(3, 12), 120),
            "training [######..................] 25%  3/12 updates  345 samples/s  0:00:07 left");
}

TEST(ProgressLineTest, BarGivesWayToTheTextOnANarrowTerminal) {
  const std::string wide = progress_line(point(11000, 22000), 120);
  const std::string narrow = progress_line(point(11000, 22000), 79);
  EXPECT_GT(wide.size(), 79U);
  EXPECT_EQ(narrow.size(), 79U);
  EXPECT_THAT(narrow, testing::EndsWith("] 50%  11000/22000 updates  345 samples/s  0:00:07 left"));
}

TEST(ProgressLineTest, FactsThatLeaveTheBarNoRoomAreLeftOutFromTheLast) {
  // "training [" and "] 25%  3/12 updates" are 29 characters, "  345 samples/s" 15 and
  // "  0:00:07 left" 14; a bar keeps 4 places.
  EXPECT_THAT(progress_line(point(3, 12), 29 + 15 + 14 + 4), EndsWith("  0:00:07 left"));
  EXPECT_THAT(progress_line(point(3, 12), 29 + 15 + 14 + 3), EndsWith("  345 samples/s"));
  EXPECT_THAT(progress_line(point(3, 12), 29 + 15 + 3), EndsWith("] 25%  3/12 updates"));
}

TEST(ProgressLineTest, WithoutRoomThereIsNoBar) {
  EXPECT_EQ(progress_line(point(3, 12), 0), "training [] 25%  3/12 updates");
}

TEST(ProgressLineTest, WithoutAKnownEndThereIsNoBar) {
  EXPECT_EQ(progress_line({"validating", 7, std::nullopt, "batches", {"345 samples/s"}}, 120),
            "validating  7 batches  345 samples/s");
}

TEST(ProgressLineTest, RunBeyondItsEndIsFull) {
  EXPECT_THAT(progress_line(point(12, 6), 120),
              StartsWith("training [########################] 100%  12/6 updates"));
}

TEST(ProgressLineTest, WithoutUpdatesItIsEmpty) {
  EXPECT_THAT(progress_line(point(0, 0), 120),
              StartsWith("training [........................] 0%  0/0 updates"));
}

}  // namespace
}  // namespace pergola::host
