// SPDX-License-Identifier: BSD-3-Clause
// What FusedAdam does with its groups, rates and scale, on the CPU; its kernels have
// gpu/fused_adam_gpu_test.cpp.
#include "host/model/optimizers/fused_adam.h"

#include "unit/model/optimizers/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace pergola::host {
namespace {

constexpr FusedAdam::Options kUsual = {
    .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0};

FusedAdam::Batch batch_of(const std::vector<at::Tensor>& parameters,
                          const std::vector<std::int64_t>& groups) {
  FusedAdam::Batch batch;
  batch.groups = groups;
  for (const at::Tensor& parameter : parameters) {
    batch.parameters.push_back(parameter.detach());
    batch.gradients.push_back(gradient_at(parameter, 0));
    batch.averages.push_back(at::zeros_like(parameter.detach()));
    batch.squares.push_back(at::zeros_like(parameter.detach()));
    batch.steps.push_back(at::zeros({}));
  }
  return batch;
}

std::vector<at::Tensor> copies_of(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> copies;
  for (const at::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
  return copies;
}

// The first step of adam goes lr g / (|g| + eps), whatever the betas.
TEST(FusedAdamTest, EachGroupHasARateAndOptionsOfItsOwn) {
  const Problem problem;
  FusedAdam::Options decaying = kUsual;
  decaying.weight_decay = 0.5;
  FusedAdam adam({kUsual, decaying}, FusedAdam::Rule::kAdamW);
  const std::vector<at::Tensor> before = copies_of(problem.parameters);
  const FusedAdam::Batch batch = batch_of(problem.parameters, {1, 0});
  adam.step(batch, {0.25, 0.125});
  const at::Tensor weight = before[0] * (1 - 0.125 * 0.5) - 0.125 * batch.gradients[0].sign();
  const at::Tensor bias = before[1] - 0.25 * batch.gradients[1].sign();
  EXPECT_TRUE(at::allclose(batch.parameters[0], weight, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(batch.parameters[1], bias, 1e-5, 1e-6));
}

TEST(FusedAdamTest, HasTheFormulasOfTheOptimizers) {
  using Rule = FusedAdam::Rule;
  const std::map<std::string, Rule> rules = {{"adam", Rule::kAdam},
                                             {"adamw", Rule::kAdamW},
                                             {"adamax", Rule::kAdamax},
                                             {"adam_w", Rule::kMmfAdamW}};
  for (const auto& [type, rule] : rules) {
    Problem problem;
    const auto optimizer =
        make_optimizer(type, {{"lr", 0.1}, {"weight_decay", 0.1}, {"eps", 1e-8}}, problem.group());
    const FusedAdam::Batch batch = batch_of(copies_of(problem.parameters), {0, 0});
    FusedAdam::Options decaying = kUsual;
    decaying.weight_decay = 0.1;
    FusedAdam fused({decaying}, rule);
    for (int step = 0; step < 4; ++step) {
      for (std::size_t i = 0; i < 2; ++i) {
        batch.gradients[i].copy_(gradient_at(batch.parameters[i], step));
        problem.parameters[i].mutable_grad() = batch.gradients[i].clone();
      }
      fused.step(batch, {0.1});
      optimizer->step();
    }
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(at::allclose(batch.parameters[i], problem.parameters[i], 1e-5, 1e-6)) << type;
    }
  }
}

TEST(FusedAdamTest, CountsTheStepsOfEachParameter) {
  const Problem problem;
  FusedAdam adam({kUsual}, FusedAdam::Rule::kAdamW);
  const FusedAdam::Batch both = batch_of(problem.parameters, {0, 0});
  adam.step(both, {0.1});
  FusedAdam::Batch one;
  one.parameters = {both.parameters[1]};
  one.gradients = {both.gradients[1]};
  one.averages = {both.averages[1]};
  one.squares = {both.squares[1]};
  one.steps = {both.steps[1]};
  one.groups = {0};
  adam.step(one, {0.1});
  EXPECT_EQ(both.steps[0].item<float>(), 1);
  EXPECT_EQ(both.steps[1].item<float>(), 2);
}

TEST(FusedAdamTest, AScaleIsOfOneStepAndLeavesTheGradientAsItIs) {
  const Problem problem;
  FusedAdam adam({kUsual}, FusedAdam::Rule::kAdam);
  const FusedAdam::Batch batch = batch_of(problem.parameters, {0, 0});
  const at::Tensor gradient = batch.gradients[0].clone();
  adam.scale_next(at::full({}, 0.5));
  adam.step(batch, {0.1});
  EXPECT_TRUE(batch.gradients[0].equal(gradient));
  EXPECT_TRUE(at::allclose(batch.averages[0], gradient * (0.1 * 0.5)));
  adam.step(batch, {0.1});  // 0.9 (0.05 g) + 0.1 g
  EXPECT_TRUE(at::allclose(batch.averages[0], gradient * 0.145));
}

TEST(FusedAdamTest, TakesGradientsInBfloat16) {
  const Problem problem;
  FusedAdam adam({kUsual}, FusedAdam::Rule::kAdam);
  FusedAdam::Batch batch = batch_of(problem.parameters, {0, 0});
  for (at::Tensor& gradient : batch.gradients) gradient = gradient.to(at::kBFloat16);
  adam.step(batch, {0.1});
  EXPECT_TRUE(batch.averages[0].equal(batch.gradients[0].to(at::kFloat) * 0.1F));
}

TEST(FusedAdamTest, AStepCountsAsAVersionOfTheParameter) {
  const Problem problem;
  FusedAdam adam({kUsual}, FusedAdam::Rule::kAdam);
  const FusedAdam::Batch batch = batch_of(problem.parameters, {0, 0});
  const auto before = batch.parameters[0]._version();
  adam.step(batch, {0.1});
  EXPECT_GT(batch.parameters[0]._version(), before);
}

TEST(FusedAdamTest, IsForGpusAlone) {
  Problem problem;
  for (const char* type : {"adam", "adamw", "adamax", "adam_w"}) {
    const auto optimizer = make_optimizer(type, {{"lr", 0.1}}, problem.group());
    problem.parameters[0].mutable_grad() = gradient_at(problem.parameters[0], 0);
    EXPECT_FALSE(optimizer->scale_gradients(at::ones({})));
    EXPECT_FALSE(optimizer->capturable());
  }
}

TEST(L2NormTest, IsThatOfAllNumbersTogether) {
  EXPECT_EQ(l2_norm({torch::tensor({3.0F}), torch::tensor({0.0F, 4.0F})}).item<float>(), 5);
}

}  // namespace
}  // namespace pergola::host
