// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/columns.h"

#include <gtest/gtest.h>

namespace pergola {
namespace {

TEST(ColumnsTest, AreAsWideAsTheirWidestCellAndEndWithoutSpaces) {
  EXPECT_EQ(columns({{"weight", "file"}, {"a", "[2, 3]"}, {"bias.long", ""}}),
            "\n  weight     file"
            "\n  a          [2, 3]"
            "\n  bias.long");
}

TEST(ColumnsTest, RowsBeyondTheMostAreCountedAndMakeNoColumnWider) {
  EXPECT_EQ(columns({{"n"}, {"1"}, {"2"}, {"three"}, {"4"}}, /*most=*/2),
            "\n  n\n  1\n  2\n  and 2 more");
}

}  // namespace
}  // namespace pergola
