// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/meter.h"

#include "host/support/json.h"
#include "pergola/error.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pergola::host {
namespace {

TEST(LossMeterTest, MeansAreOverBatchesAndTheTotalIsTheirSum) {
  LossMeter meter;
  meter.add(
      {{"train/d/a", torch::tensor({1.0, 3.0})}, {"train/d/b", torch::tensor(5.0)}});  // 2 and 5
  meter.add({{"train/d/a", torch::tensor(4.0)}, {"train/d/b", torch::tensor(7.0)}});
  const Numbers numbers = meter.means();
  EXPECT_DOUBLE_EQ(numbers.at("train/d/a"), 3.0);
  EXPECT_DOUBLE_EQ(numbers.at("train/d/b"), 6.0);
  EXPECT_DOUBLE_EQ(numbers.at("train/total_loss"), 9.0);
  EXPECT_DOUBLE_EQ(meter.take().at("train/total_loss"), 9.0);
  EXPECT_TRUE(meter.means().empty());
}

TEST(LossMeterTest, AveragesAreOverTheWholeRun) {
  LossMeter meter;
  for (const double loss : {1.0, 2.0, 3.0}) meter.add({{"train/d/a", torch::tensor(loss)}});
  EXPECT_DOUBLE_EQ(meter.take().at("train/d/a/avg"), 2.0);
  meter.add({{"train/d/a", torch::tensor(10.0)}});
  LossMeter restored;
  restored.load_state_dict(from_json(to_json(meter.state_dict()), "test"));
  const Numbers numbers = meter.take();
  EXPECT_DOUBLE_EQ(numbers.at("train/d/a"), 10.0);
  EXPECT_DOUBLE_EQ(numbers.at("train/d/a/avg"), 4.0);
  EXPECT_DOUBLE_EQ(numbers.at("train/total_loss/avg"), 4.0);
  EXPECT_EQ(restored.take(), numbers);
}

TEST(LossMeterTest, StateSurvivesJsonBitForBit) {
  LossMeter meter;
  meter.add({{"train/d/a", torch::tensor(1.0 / 3)}});
  meter.add({{"train/d/a", torch::tensor(0.1)}});
  LossMeter restored;
  restored.load_state_dict(from_json(to_json(meter.state_dict()), "test"));
  EXPECT_EQ(restored.means(), meter.means());
}

TEST(LossMeterTest, NotANumberIsFoundHoweverManyBatchesAgo) {
  LossMeter meter;
  meter.add({{"good", torch::tensor(1.0)}, {"bad", torch::tensor(std::nan(""))}});
  for (int i = 0; i < 5; ++i)
    meter.add({{"good", torch::tensor(1.0)}, {"bad", torch::tensor(1.0)}});
  try {
    meter.check_finite(6);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNan);
    EXPECT_THAT(error.what(), testing::StartsWith("not a finite number at update 6: bad;"));
  }
  LossMeter restored;
  restored.load_state_dict(from_json(to_json(meter.state_dict()), "test"));
  EXPECT_THROW(restored.check_finite(6), Error);
}

TEST(LossMeterTest, KeepsNoGraph) {
  LossMeter meter;
  const at::Tensor weight = torch::ones({1}).set_requires_grad(true);
  meter.add({{"a", (weight * 2).sum()}});
  EXPECT_DOUBLE_EQ(meter.means().at("a"), 2.0);
}

}  // namespace
}  // namespace pergola::host
