// SPDX-License-Identifier: BSD-3-Clause
// What a step does besides its numbers, which unit/train/optimizers_golden_test.cpp has.
#include "host/device/waiting_operations.h"
#include "unit/model/optimizers/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::IsEmpty;

class OptimizerStep : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, OptimizerStep,
                         ::testing::ValuesIn(builtin_parts().keys(Kind::kOptimizer)),
                         [](const auto& key) { return key.param; });

TEST_P(OptimizerStep, LeavesParametersWithoutGradientAloneAndTheirStateOut) {
  for (const Value::Table& params : optimizer_params().at(GetParam())) {
    Problem problem;
    const auto optimizer = make_optimizer(GetParam(), params, problem.group());
    const at::Tensor bias = problem.parameters[1].detach().clone();
    const at::Tensor weight = problem.parameters[0].detach().clone();
    problem.run(*optimizer, 0, 1);  // the bias has no gradient
    EXPECT_TRUE(problem.parameters[1].equal(bias));
    EXPECT_FALSE(problem.parameters[0].equal(weight));
    for (const auto& [key, tensor] : optimizer->state_dict()) EXPECT_EQ(key.find("bias"), key.npos);
  }
}

TEST_P(OptimizerStep, LeavesGradientsAsTheyAre) {
  for (const Value::Table& params : optimizer_params().at(GetParam())) {
    Problem problem;
    const auto optimizer = make_optimizer(GetParam(), params, problem.group());
    problem.run(*optimizer, 0, 2);
    const at::Tensor gradient = problem.parameters[0].grad().clone();
    optimizer->step();
    EXPECT_TRUE(problem.parameters[0].grad().equal(gradient));
  }
}

TEST_P(OptimizerStep, DoesNothingWithoutAnyGradient) {
  Problem problem;
  const auto optimizer =
      make_optimizer(GetParam(), optimizer_params().at(GetParam())[0], problem.group());
  optimizer->step();
  EXPECT_THAT(optimizer->state_dict(), IsEmpty());
}

// What the skipping one reads of the device is a copy of all flags at once, which is not among
// these.
TEST_P(OptimizerStep, DoesNotWaitForTheDevice) {
  if (GetParam() == "adam" || GetParam() == "adamw" || GetParam() == "adagrad") {
    GTEST_SKIP() << "the CPU's fused kernel reads the step counter, a GPU's does so on the GPU";
  }
  for (const Value::Table& params : optimizer_params().at(GetParam())) {
    Problem problem;
    const auto optimizer = make_optimizer(GetParam(), params, problem.group());
    const ::pergola::host::WaitingOperations watch;
    problem.run(*optimizer, 0, 3);
    EXPECT_THAT(watch.counts(), IsEmpty());
  }
}

TEST_P(OptimizerStep, TakesParametersOfSeveralTypes) {
  for (const Value::Table& params : optimizer_params().at(GetParam())) {
    Problem single;
    const auto alone = make_optimizer(GetParam(), params, single.group());
    single.run(*alone, 0, 3);

    Problem mixed;
    mixed.parameters[1] = mixed.parameters[1].detach().to(at::kDouble).set_requires_grad(true);
    const auto optimizer = make_optimizer(GetParam(), params, mixed.group());
    mixed.run(*optimizer, 0, 3);
    EXPECT_TRUE(mixed.parameters[0].equal(single.parameters[0]));
    EXPECT_TRUE(at::allclose(mixed.parameters[1].to(at::kFloat), single.parameters[1], 1e-5, 1e-6));
  }
}

// MMF's own test of its trainer: Linear(1, 1), the loss MSE(-out, x) over x = 0 .. 99 in batches of
// two, in their order. Its meter gives the mean over the last 20 of 50 batches of the validation;
// the numbers hold to one decimal place there as well.
TEST(OptimizersTest, AdamWHasTheLossesOfMmfsTrainer) {
  const at::Tensor weight = at::full({1, 1}, .22939014).set_requires_grad(true);
  const at::Tensor bias = at::full({1}, -.23797429).set_requires_grad(true);
  const at::Tensor numbers = at::arange(100, at::kFloat).view({50, 2, 1});
  const auto loss_of = [&](std::int64_t batch) {
    const at::Tensor x = numbers[batch];
    return at::mse_loss(-at::linear(x, weight, bias), x);
  };
  const auto validate = [&] {
    double sum = 0;
    for (std::int64_t batch = 30; batch < 50; ++batch) sum += loss_of(batch).item<double>();
    return sum / 20;
  };
  const auto optimizer =
      make_optimizer("adam_w", {{"lr", 5e-5}, {"eps", 1e-8}}, {{{"w", "b"}, {weight, bias}}});
  const std::map<std::int64_t, double> expected = {
      {3, 9705.2953125}, {6, 9703.29765625}, {8, 9701.88046875}};
  for (std::int64_t update = 1; update <= 8; ++update) {
    optimizer->zero_grad();
    loss_of(update - 1).backward();
    optimizer->step();
    if (!expected.contains(update)) continue;
    EXPECT_NEAR(validate(), expected.at(update), 0.05) << "after update " << update;
  }
}

TEST(OptimizersTest, AZeroGradientIsSkippedWithItsState) {
  Problem problem;
  const auto optimizer = make_optimizer("adam_w_skip_params_with_zero_grad",
                                        {{"lr", 0.1}, {"weight_decay", 0.5}}, problem.group());
  problem.run(*optimizer, 0, 2);
  const at::Tensor bias = problem.parameters[1].detach().clone();
  const at::Tensor average = optimizer->state_dict().at("bias/exp_avg").clone();
  problem.parameters[1].mutable_grad().zero_();
  optimizer->step();
  EXPECT_TRUE(problem.parameters[1].equal(bias));
  EXPECT_TRUE(optimizer->state_dict().at("bias/exp_avg").equal(average));
  EXPECT_EQ(optimizer->state_dict().at("bias/step").item<float>(), 1);
  EXPECT_EQ(optimizer->state_dict().at("weight/step").item<float>(), 3);
}

TEST(OptimizersTest, AGradientThatIsNotANumberIsNotSkipped) {
  Problem problem;
  const auto optimizer = make_optimizer("adam_w_skip_params_with_zero_grad", {}, problem.group());
  problem.parameters[0].mutable_grad() = at::full_like(problem.parameters[0], NAN).detach();
  optimizer->step();
  EXPECT_EQ(optimizer->state_dict().count("weight/step"), 1U);
}

// The rate is 1e-6 t with warmup_init, times the schedule's factor; transformers' 1 / √t is larger.
TEST(OptimizersTest, AScheduleScalesTheStepThatAdafactorFinds) {
  at::Tensor moved[2];
  for (const double factor : {1.0, 0.5}) {
    Problem problem;
    const auto optimizer = make_optimizer(
        "adafactor", {{"warmup_init", true}, {"scale_parameter", false}}, problem.group());
    optimizer->set_lr_factor(factor);
    const at::Tensor before = problem.parameters[0].detach().to(at::kDouble);
    problem.run(*optimizer, 0, 1);
    moved[factor == 1.0 ? 0 : 1] = problem.parameters[0].detach().to(at::kDouble) - before;
  }
  EXPECT_TRUE(at::allclose(moved[0], moved[1] * 2, 0.2, 1e-7));
}

// In half precision 1e-30 is 0, and the inverse root of an average square infinite.
TEST(OptimizersTest, AdafactorUpdatesHalfPrecisionInFull) {
  Problem wide;
  Problem half;
  for (std::size_t i = 0; i < 2; ++i) {
    half.parameters[i] = half.parameters[i].detach().to(at::kHalf).set_requires_grad(true);
    wide.parameters[i] = half.parameters[i].detach().to(at::kFloat).set_requires_grad(true);
  }
  const auto one = make_optimizer("adafactor", {}, wide.group());
  const auto other = make_optimizer("adafactor", {}, half.group());
  wide.run(*one, 0, 1);
  half.run(*other, 0, 1);
  EXPECT_TRUE(at::allclose(half.parameters[0].to(at::kFloat), wide.parameters[0], 1e-3, 1e-3));
  EXPECT_EQ(other->state_dict().at("weight/exp_avg_sq_row").scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace pergola::host
