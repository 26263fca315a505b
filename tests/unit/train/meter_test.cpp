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

TEST(LossMeterTest, MeansAreOverSamplesAndTheTotalIsTheirSum) {
  LossMeter meter;
  meter.add({{"train/d/a", torch::tensor({1.0, 3.0})}, {"train/d/b", torch::tensor(5.0)}}, 3);
  // The last batch of an epoch: one sample weighs what one of the others does.
  meter.add({{"train/d/a", torch::tensor(4.0)}, {"train/d/b", torch::tensor(7.0)}}, 1);
  const Numbers numbers = meter.means();
  EXPECT_DOUBLE_EQ(numbers.at("train/d/a"), 2.5);  // (3 * 2 + 4) / 4
  EXPECT_DOUBLE_EQ(numbers.at("train/d/b"), 5.5);  // (3 * 5 + 7) / 4
  EXPECT_DOUBLE_EQ(numbers.at("train/total_loss"), 8.0);
  EXPECT_DOUBLE_EQ(meter.take().at("train/total_loss"), 8.0);
  EXPECT_TRUE(meter.means().empty());
}

TEST(LossMeterTest, AveragesAreOverAllSamplesOfTheRun) {
  LossMeter meter;
  for (const double loss : {1.0, 2.0, 3.0}) meter.add({{"train/d/a", torch::tensor(loss)}}, 2);
  EXPECT_DOUBLE_EQ(meter.take().at("train/d/a/avg"), 2.0);
  meter.add({{"train/d/a", torch::tensor(10.0)}}, 1);
  meter.add({{"train/d/a", torch::tensor(16.0)}}, 1);
  LossMeter restored;
  restored.load_state_dict(from_json(to_json(meter.state_dict()), "test"));
  const Numbers numbers = meter.take();
  EXPECT_DOUBLE_EQ(numbers.at("train/d/a"), 13.0);
  EXPECT_DOUBLE_EQ(numbers.at("train/d/a/avg"), 4.75);  // (2 + 4 + 6 + 10 + 16) / 8
  EXPECT_DOUBLE_EQ(numbers.at("train/total_loss/avg"), 4.75);
  EXPECT_EQ(restored.take(), numbers);
}

// MMF's own test of its meter.
TEST(LossMeterTest, FiveLossesAverageToTwo) {
  LossMeter meter;
  for (int i = 0; i < 5; ++i) meter.add({{"a", torch::tensor(static_cast<double>(i))}}, 1);
  EXPECT_EQ(meter.take().at("a/avg"), 2);
}

// The state is two numbers for each loss, however long the run is.
TEST(LossMeterTest, StateDoesNotGrow) {
  LossMeter meter;
  const auto size = [&] { return to_json(meter.state_dict()).size(); };
  const auto log_twice = [&] {
    for (int i = 0; i < 2; ++i) {
      meter.add({{"a", torch::tensor(1.0)}}, 1);
      static_cast<void>(meter.take());
    }
  };
  log_twice();
  const std::size_t before = size();
  log_twice();
  EXPECT_EQ(size(), before);
}

TEST(LossMeterTest, StateWithoutSamplesIsOfAnOlderProgram) {
  LossMeter meter;
  meter.add({{"a", torch::tensor(1.0)}}, 2);
  const Value before = meter.state_dict();
  Value state = before;
  state["sums"]["a"].as_table().erase("samples");
  state["sums"]["a"]["count"] = 1;
  try {
    meter.load_state_dict(state);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
    EXPECT_STREQ(error.what(),
                 "state.json of the checkpoint has no 'samples' of the losses in 'meter'; it was "
                 "written by an older program, which can resume it");
  }
  EXPECT_EQ(meter.state_dict(), before);
}

TEST(LossMeterTest, NotANumberInTheAverageSurvivesJson) {
  LossMeter meter;
  meter.add({{"a", torch::tensor(std::nan(""))}}, 2);
  static_cast<void>(meter.take());
  LossMeter restored;
  restored.load_state_dict(from_json(to_json(meter.state_dict()), "test"));
  restored.add({{"a", torch::tensor(1.0)}}, 2);
  EXPECT_TRUE(std::isnan(restored.take().at("a/avg")));
}

TEST(LossMeterTest, StateSurvivesJsonBitForBit) {
  LossMeter meter;
  meter.add({{"train/d/a", torch::tensor(1.0 / 3)}}, 3);
  meter.add({{"train/d/a", torch::tensor(0.1)}}, 2);
  LossMeter restored;
  restored.load_state_dict(from_json(to_json(meter.state_dict()), "test"));
  EXPECT_EQ(restored.means(), meter.means());
}

TEST(LossMeterTest, NotANumberIsFoundHoweverManyBatchesAgo) {
  LossMeter meter;
  meter.add({{"good", torch::tensor(1.0)}, {"bad", torch::tensor(std::nan(""))}}, 1);
  for (int i = 0; i < 5; ++i)
    meter.add({{"good", torch::tensor(1.0)}, {"bad", torch::tensor(1.0)}}, 1);
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
  meter.add({{"a", (weight * 2).sum()}}, 1);
  EXPECT_DOUBLE_EQ(meter.means().at("a"), 2.0);
}

}  // namespace
}  // namespace pergola::host
