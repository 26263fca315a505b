// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/smoothed_value.h"

#include "host/support/json.h"
#include "pergola/error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pergola::host {
namespace {

// MMF's own test of its meter.
TEST(SmoothedValueTest, FiveLossesAverageToTwo) {
  SmoothedValue loss;
  for (int i = 0; i < 5; ++i) loss.update(i);
  EXPECT_EQ(loss.avg(), 2);
  EXPECT_EQ(loss.global_avg(), 2);
  EXPECT_EQ(loss.median(), 2);
  EXPECT_EQ(loss.latest(), 4);
}

TEST(SmoothedValueTest, TheWindowForgetsAndTheGlobalAverageDoesNot) {
  SmoothedValue value(/*window=*/2);
  value.update(9, /*count=*/2);
  value.update(1, /*count=*/1);
  value.update(4, /*count=*/3);
  EXPECT_DOUBLE_EQ(value.avg(), (1 + 4 * 3) / 4.0);
  EXPECT_DOUBLE_EQ(value.global_avg(), (9 * 2 + 1 + 4 * 3) / 6.0);
  EXPECT_EQ(value.median(), 1);  // torch.median: of two, the lower one
}

TEST(SmoothedValueTest, NothingAndNotANumberAreNan) {
  SmoothedValue value;
  for (const double number : {value.latest(), value.median(), value.avg(), value.global_avg()}) {
    EXPECT_TRUE(std::isnan(number));
  }
  value.update(std::numeric_limits<double>::quiet_NaN());
  value.update(1);
  EXPECT_TRUE(std::isnan(value.median()));
  EXPECT_TRUE(std::isnan(value.avg()));
  EXPECT_EQ(value.latest(), 1);
}

TEST(SmoothedValueTest, StateSurvivesJsonBitForBit) {
  SmoothedValue value(/*window=*/3);
  for (const double number : {0.1, 1.0 / 3, 1e300, std::nan("")}) value.update(number, 7);
  SmoothedValue restored(/*window=*/3);
  restored.load_state_dict(from_json(to_json(value.state_dict()), "test"));
  EXPECT_TRUE(std::isnan(restored.global_avg()));
  for (int i = 0; i < 2; ++i) {
    value.update(i / 3.0);
    restored.update(i / 3.0);
  }
  EXPECT_TRUE(std::isnan(restored.avg()));
  value.update(5);
  restored.update(5);
  EXPECT_EQ(restored.avg(), value.avg());
  EXPECT_EQ(restored.median(), value.median());
  EXPECT_THROW(restored.load_state_dict(Value(Value::Table{})), Error);
}

}  // namespace
}  // namespace pergola::host
