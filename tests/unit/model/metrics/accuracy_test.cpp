// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/accuracy.h"

#include "pergola/error.h"

#include <torch/types.h>

#include <gtest/gtest.h>

#include <cmath>

namespace pergola::host {
namespace {

double value_of(const Metric& metric) { return metric.compute().at(""); }

void update(Metric& metric, const at::Tensor& scores, const at::Tensor& targets) {
  SampleList batch;
  batch.add_field("targets", targets);
  ModelOutput output;
  output.scores = scores;
  metric.update(batch, output);
}

TEST(MetricsTest, AccuracyHasMmfsNumber) {
  // MMF's test: seed 2, targets drawn first, then scores, both rand(25, 10): one of 25 is right.
  torch::manual_seed(2);
  const at::Tensor targets = torch::rand({25, 10});
  const at::Tensor scores = torch::rand({25, 10});
  Accuracy metric{Config()};
  update(metric, scores, targets);
  EXPECT_DOUBLE_EQ(value_of(metric), 0.04);
  Accuracy classes{Config()};
  update(classes, scores, targets.argmax(1));
  EXPECT_DOUBLE_EQ(value_of(classes), 0.04);
  Accuracy top5{Config(Value::Table{{"topk", 5}})};
  update(top5, scores, targets);
  EXPECT_DOUBLE_EQ(value_of(top5), 0.48);
}

TEST(MetricsTest, BatchesOfAnySizeGiveTheMeanOverSamples) {
  Accuracy metric{Config()};
  update(metric, torch::eye(3), torch::tensor({0, 1, 0}));  // 2 of 3
  update(metric, torch::eye(1), torch::tensor({0}));        // 1 of 1
  EXPECT_DOUBLE_EQ(value_of(metric), 0.75);
}

TEST(MetricsTest, MergedPartsAreTheWhole) {
  Accuracy left{Config()};
  Accuracy right{Config()};
  Accuracy empty{Config()};
  update(left, torch::eye(3), torch::tensor({0, 1, 0}));
  update(right, torch::eye(1), torch::tensor({0}));
  left.merge(right);
  left.merge(empty);
  empty.merge(left);
  EXPECT_DOUBLE_EQ(value_of(left), 0.75);
  EXPECT_DOUBLE_EQ(value_of(empty), 0.75);
}

TEST(MetricsTest, NothingSeenIsNotANumberAndResetForgets) {
  Accuracy metric{Config()};
  EXPECT_TRUE(std::isnan(value_of(metric)));
  update(metric, torch::eye(1), torch::tensor({0}));
  metric.reset();
  EXPECT_TRUE(std::isnan(value_of(metric)));
}

TEST(MetricsTest, VqaAccuracyTakesTheSoftScoreAndNeverUnk) {
  VqaAccuracy metric{Config()};
  // Row 0: <unk> scores highest, answer 2 next, worth 0.6. Row 1: answer 1, worth 1.
  update(metric, torch::tensor({{9.0, 1.0, 2.0}, {0.0, 3.0, 2.0}}),
         torch::tensor({{0.0, 0.3, 0.6}, {0.0, 1.0, 0.0}}));
  EXPECT_NEAR(value_of(metric), 0.8, 1e-7);
}

TEST(MetricsTest, ShapesThatDoNotFitAreRefused) {
  Accuracy metric{Config()};
  EXPECT_THROW(update(metric, torch::eye(3), torch::tensor({0, 1})), Error);
  EXPECT_THROW(update(metric, at::Tensor(), torch::tensor({0, 1})), Error);
  VqaAccuracy soft{Config()};
  EXPECT_THROW(update(soft, torch::eye(3), torch::tensor({0, 1, 2})), Error);
}

}  // namespace
}  // namespace pergola::host
