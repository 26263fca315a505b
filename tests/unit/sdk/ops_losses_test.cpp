// SPDX-License-Identifier: BSD-3-Clause
// The losses among the operators of pergola/ops.h, on the CPU.
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include <cmath>

namespace pergola::ops {
namespace {

// log(1 + e^-2) for the first, log(1 + e^-1) + 1 (1 - 0.25) for the second: -t log p - (1 - t) log
// (1 - p) is log(1 + e^-x) + (1 - t) x.
TEST(OpsLossesTest, BceIsTheMeanOverAllNumbers) {
  const at::Tensor logits = torch::tensor({{2.0, 1.0}}, torch::kDouble);
  const at::Tensor targets = torch::tensor({{1.0F, 0.25F}});
  const double expected = (std::log1p(std::exp(-2.0)) + std::log1p(std::exp(-1.0)) + 0.75) / 2;
  EXPECT_NEAR(bce_with_logits(logits, targets).item<double>(), expected, 1e-12);
}

TEST(OpsLossesTest, HalfLogitsAreAddedUpInSinglePrecision) {
  const at::Tensor logits = torch::randn({64, 33}).to(at::kBFloat16);
  const at::Tensor targets = torch::rand({64, 33});
  const at::Tensor loss = bce_with_logits(logits, targets);
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_TRUE(loss.equal(bce_with_logits(logits.to(at::kFloat), targets)));
  const at::Tensor classes = torch::randint(33, {64}, torch::kLong);
  const at::Tensor entropy = cross_entropy(logits, classes, -100, EmptyMean::kNan);
  EXPECT_EQ(entropy.scalar_type(), at::kFloat);
  EXPECT_TRUE(entropy.equal(cross_entropy(logits.to(at::kFloat), classes, -100, EmptyMean::kNan)));
}

// All logits are alike: each row's loss is log 4.
TEST(OpsLossesTest, CrossEntropyIsTheMeanOverRowsThatAreNotIgnored) {
  const at::Tensor logits = torch::zeros({3, 4}, torch::kDouble);
  const at::Tensor targets = torch::tensor({1, -1, 3}, torch::kLong);
  for (const EmptyMean empty : {EmptyMean::kNan, EmptyMean::kZero}) {
    EXPECT_NEAR(cross_entropy(logits, targets, -1, empty).item<double>(), std::log(4.0), 1e-12);
  }
}

TEST(OpsLossesTest, TheMeanOfNoRowsIsWhatIsAskedFor) {
  const at::Tensor logits = torch::zeros({2, 4}).requires_grad_(true);
  const at::Tensor targets = torch::full({2}, -1, torch::kLong);
  EXPECT_TRUE(std::isnan(cross_entropy(logits, targets, -1, EmptyMean::kNan).item<float>()));
  const at::Tensor zero = cross_entropy(logits, targets, -1, EmptyMean::kZero);
  EXPECT_EQ(zero.item<float>(), 0);
  zero.backward();
  EXPECT_TRUE(logits.grad().eq(0).all().item<bool>());
}

TEST(OpsLossesTest, AreThoseOfTorchBitForBit) {
  const at::Tensor logits = torch::randn({16, 3129});
  const at::Tensor soft = torch::rand({16, 3129});
  const at::Tensor classes = torch::randint(3129, {16}, torch::kLong);
  EXPECT_TRUE(
      bce_with_logits(logits, soft).equal(at::binary_cross_entropy_with_logits(logits, soft)));
  EXPECT_TRUE(cross_entropy(logits, classes, -100, EmptyMean::kNan)
                  .equal(at::cross_entropy_loss(logits, classes)));
}

}  // namespace
}  // namespace pergola::ops
