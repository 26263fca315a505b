// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/anomaly.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/autograd/custom_function.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;

class AnomalyWatchTest : public ::testing::Test {
 protected:
  const at::Tensor x_ = at::full({3}, 2.0F).requires_grad_(true);
  AnomalyWatch watch_{true};
};

TEST_F(AnomalyWatchTest, SoundTrainingPasses) {
  const at::Tensor loss = x_.log().sum();
  EXPECT_EQ(watch_.check_forward(loss, "the forward pass"), "");
  loss.backward();
  EXPECT_EQ(watch_.check_backward("the backward pass"), "");
}

// log(2 - 5) is NaN; exp and sum only hand it on.
TEST_F(AnomalyWatchTest, TheOperationThatMadeTheNanOfTheLossIsNamed) {
  const at::Tensor loss = (x_ - 5).log().exp().sum();
  EXPECT_EQ(watch_.check_forward(loss, "training_step()"),
            "training_step() made a NaN; the first operation with one in its result is "
            "aten::log (training.detect_anomaly)");
}

// The softmax of a row of masked places alone is NaN inside of _safe_softmax, which gives 0; and
// the NaN of log is masked.
TEST_F(AnomalyWatchTest, ANanThatAMaskTakesAwayIsNone) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const at::Tensor weights = at::_safe_softmax(x_.masked_fill(x_.gt(0), kNone), -1);
  const at::Tensor loss = weights.sum() + (x_.detach() - 5).log().nan_to_num(0).sum();
  EXPECT_EQ(watch_.check_forward(loss, "the forward pass"), "");
  const at::Tensor next = (x_ - 2).rsqrt().mul(0).sum();  // infinity times 0
  EXPECT_THAT(watch_.check_forward(next, "the forward pass"), HasSubstr("is aten::mul ("))
      << "and not what the check before has seen";
}

TEST_F(AnomalyWatchTest, WhatIsForgottenIsNotNamed) {
  static_cast<void>((x_ - 5).log());
  watch_.forget();
  const at::Tensor loss = (x_ - 5).sqrt().sum();
  EXPECT_THAT(watch_.check_forward(loss, "the forward pass"), HasSubstr("is aten::sqrt ("));
}

// sqrt(0) is 0, its derivative is infinite: times the 0 of the product behind it that is NaN.
TEST_F(AnomalyWatchTest, TheOperationThatMadeTheNanOfAGradientIsNamed) {
  const at::Tensor loss = (x_ - 2).sqrt().mul(0).sum();
  EXPECT_EQ(watch_.check_forward(loss, "the forward pass"), "");
  loss.backward();
  EXPECT_EQ(watch_.check_backward("the backward pass"),
            "the backward pass made a NaN; the first operation with one in its result "
            "is aten::div in SqrtBackward0 (training.detect_anomaly)");
  EXPECT_EQ(watch_.check_backward("the next one"), "");
}

// A plugin's own function, whose kernel LibTorch does not know.
struct Own : torch::autograd::Function<Own> {
  static at::Tensor forward(torch::autograd::AutogradContext* /*context*/, const at::Tensor& x) {
    return x.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* /*context*/,
                                                 const torch::autograd::variable_list& gradients) {
    at::Tensor result = at::zeros_like(gradients[0]);
    result.data_ptr<float>()[1] = std::numeric_limits<float>::quiet_NaN();
    return {result};
  }
};

TEST_F(AnomalyWatchTest, WhoTakesANanFromAnUnknownFunctionIsNamed) {
  const at::Tensor loss = Own::apply(x_.exp()).sum();
  loss.backward();
  EXPECT_THAT(watch_.check_backward("the backward pass"),
              HasSubstr("is what the backward pass hands to ExpBackward0 ("));
}

TEST(AnomalyWatchOffTest, IsNothing) {
  AnomalyWatch watch(false);
  const at::Tensor loss = at::full({}, -1.0F).log();
  EXPECT_EQ(watch.check_forward(loss, "the forward pass"), "");
  EXPECT_EQ(watch.check_backward("the backward pass"), "");
  EXPECT_FALSE(at::hasThreadLocalCallbacks());
}

TEST(AnomalyWatchOffTest, NothingIsWatchedAfterItsScope) {
  { const AnomalyWatch watch(true); }
  EXPECT_FALSE(at::hasThreadLocalCallbacks());
  EXPECT_EQ(c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::PRODUCER_INFO), nullptr);
}

}  // namespace
}  // namespace pergola::host
