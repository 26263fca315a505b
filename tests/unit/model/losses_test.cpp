// SPDX-License-Identifier: BSD-3-Clause
// The fixed numbers are MMF's own, on torch 2.11.0 with seed 1234: scores = randn(4, 6), then
// targets = rand(4, 6).
#include "host/model/losses.h"

#include "pergola/error.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::HasSubstr;

class LossesTest : public testing::Test {
 protected:
  LossesTest() {
    torch::manual_seed(1234);
    output_.scores = torch::randn({4, 6});
    targets_ = torch::rand({4, 6});
  }
  double value(Loss& loss, const at::Tensor& targets) {
    SampleList batch;
    batch.add_field("targets", targets);
    return loss.compute(batch, output_).at("").item<double>();
  }

  ModelOutput output_;
  at::Tensor targets_;
};

TEST_F(LossesTest, TheSeedGivesMmfsNumbers) {
  EXPECT_NEAR(output_.scores[0][0].item<double>(), -.1117186, 1e-6);
  EXPECT_NEAR(targets_[0][0].item<double>(), .4108109, 1e-6);
}

TEST_F(LossesTest, LogitBce) {
  LogitBce loss{Config()};
  EXPECT_NEAR(value(loss, targets_), 4.452232, 1e-5);
}

TEST_F(LossesTest, CrossEntropyOfClassNumbers) {
  CrossEntropy loss{Config()};
  EXPECT_NEAR(value(loss, torch::tensor({1, 0, 5, 3})), 1.613082, 1e-5);
}

TEST_F(LossesTest, CrossEntropyWithSmoothing) {
  CrossEntropy loss{Config(Value::Table{{"label_smoothing", 0.1}})};
  EXPECT_NEAR(value(loss, torch::tensor({1, 0, 5, 3})), 1.657365, 1e-5);
}

TEST_F(LossesTest, CrossEntropyOfOneHotRowsIsThatOfTheClasses) {
  CrossEntropy loss{Config()};
  const at::Tensor classes = torch::tensor({1, 0, 5, 3});
  EXPECT_NEAR(value(loss, torch::one_hot(classes, 6).to(torch::kFloat)), value(loss, classes),
              1e-6);
}

TEST_F(LossesTest, CrossEntropyLeavesTheIgnoredClassOut) {
  CrossEntropy loss{Config(Value::Table{{"ignore_index", 5}})};
  // The mean of the other three rows.
  const at::Tensor rows = -torch::log_softmax(output_.scores, 1);
  const double expected = (rows[0][1] + rows[1][0] + rows[3][3]).item<double>() / 3;
  EXPECT_NEAR(value(loss, torch::tensor({1, 0, 5, 3})), expected, 1e-6);
}

TEST_F(LossesTest, ShapesThatDifferAreShownAndNothingIsBroadcast) {
  LogitBce loss{Config()};
  try {
    value(loss, torch::rand({4, 1}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), HasSubstr("scores are [4, 6] and targets [4, 1]"));
  }
}

TEST_F(LossesTest, TargetsAreNotWrittenTo) {
  LogitBce loss{Config()};
  const at::Tensor before = targets_.clone();
  value(loss, targets_);
  EXPECT_TRUE(targets_.equal(before));
}

TEST_F(LossesTest, UnknownParameterIsRefused) {
  EXPECT_THROW(LogitBce(Config(Value::Table{{"weight", 1}})), Error);
  EXPECT_THROW(CrossEntropy(Config(Value::Table{{"reduction", "none"}})), Error);
}

}  // namespace
}  // namespace pergola::host
