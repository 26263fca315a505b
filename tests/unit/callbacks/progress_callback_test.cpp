// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/progress_callback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::StartsWith;

ProgressPoint point(std::int64_t update, std::int64_t max_updates) {
  return {"training", update, max_updates, 345, "0:00:07"};
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

TEST(ProgressLineTest, WithoutRoomThereIsNoBar) {
  EXPECT_THAT(progress_line(point(3, 12), 0), StartsWith("training [] 25%  3/12 updates"));
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
