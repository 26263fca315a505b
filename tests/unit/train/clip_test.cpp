// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/clip.h"

#include "host/model/optimizers/sgd.h"

#include <torch/types.h>

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

Sgd optimizer_of(const std::vector<at::Tensor>& parameters) {
  return Sgd({{{"a", "b"}, parameters, Value(Value::Table{})}}, Config(Value::Table{{"lr", 0.1}}));
}

std::vector<at::Tensor> parameters_with_gradients() {
  std::vector<at::Tensor> parameters = {torch::zeros({1}), torch::zeros({2})};
  parameters[0].mutable_grad() = torch::tensor({3.0F});
  parameters[1].mutable_grad() = torch::tensor({0.0F, 4.0F});  // together a norm of 5
  return parameters;
}

TEST(ClipTest, ScalesAllGradientsByOneFactor) {
  const auto parameters = parameters_with_gradients();
  Sgd optimizer = optimizer_of(parameters);
  const at::Tensor norm = clip_grad_norm(optimizer, 0.5);
  EXPECT_FLOAT_EQ(norm.item<float>(), 5.0F);
  EXPECT_NEAR(parameters[0].grad()[0].item<float>(), 0.3, 1e-6);
  EXPECT_NEAR(parameters[1].grad()[1].item<float>(), 0.4, 1e-6);
}

TEST(ClipTest, LeavesSmallGradientsAlone) {
  const auto parameters = parameters_with_gradients();
  Sgd optimizer = optimizer_of(parameters);
  clip_grad_norm(optimizer, 10);
  EXPECT_EQ(parameters[0].grad()[0].item<float>(), 3.0F);
}

TEST(ClipTest, NoGradientsAreANormOfZero) {
  Sgd optimizer = optimizer_of({torch::zeros({1}), torch::zeros({1})});
  EXPECT_EQ(clip_grad_norm(optimizer, 1).item<float>(), 0.0F);
}

// One that multiplies the gradients itself, in its step.
class Scaling final : public Optimizer {
 public:
  using Optimizer::Optimizer;
  [[nodiscard]] bool scale_gradients(const at::Tensor& scale) override {
    scale_ = scale;
    return true;
  }
  void step() override {}
  [[nodiscard]] std::map<std::string, at::Tensor> state_dict() const override { return {}; }
  void load_state_dict(const std::map<std::string, at::Tensor>& /*state*/) override {}
  at::Tensor scale_;
};

// 1 / (5 + 1e-6), and 1 where the norm is smaller than what is allowed.
TEST(ClipTest, LeavesTheScaleToAnOptimizerThatTakesIt) {
  const auto parameters = parameters_with_gradients();
  Scaling optimizer({{{"a", "b"}, parameters, Value(Value::Table{})}}, {0.1});
  EXPECT_FLOAT_EQ(clip_grad_norm(optimizer, 1).item<float>(), 5.0F);
  EXPECT_FLOAT_EQ(optimizer.scale_.item<float>(), 0.2F);
  EXPECT_EQ(parameters[0].grad()[0].item<float>(), 3.0F);
  clip_grad_norm(optimizer, 10);
  EXPECT_EQ(optimizer.scale_.item<float>(), 1.0F);
}

TEST(ClipTest, ByValueLimitsEachNumberOnBothSides) {
  const auto parameters = parameters_with_gradients();
  parameters[1].mutable_grad() = torch::tensor({-2.0F, 0.25F});
  clip_grad_value(optimizer_of(parameters), 0.5);
  EXPECT_EQ(parameters[0].grad()[0].item<float>(), 0.5F);
  EXPECT_EQ(parameters[1].grad()[0].item<float>(), -0.5F);
  EXPECT_EQ(parameters[1].grad()[1].item<float>(), 0.25F);
}

TEST(ClipTest, ByValueTakesParametersWithoutGradients) {
  const auto parameters = parameters_with_gradients();
  for (const at::Tensor& parameter : parameters) parameter.mutable_grad().reset();
  clip_grad_value(optimizer_of(parameters), 0.5);
  EXPECT_FALSE(parameters[0].grad().defined());
}

}  // namespace
}  // namespace pergola::host
