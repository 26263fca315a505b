// SPDX-License-Identifier: BSD-3-Clause
// The fused step of Adam and its kin, and the norm of gradients, on a GPU, beside the formula in
// float64.
#include "gpu/fused_adam_kit.h"
#include "host/device/on_stream.h"
#include "host/device/step_graph.h"
#include "host/train/clip.h"
#include "unit/model/optimizers/problem.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include <cmath>
#include <numeric>

namespace pergola::host {
namespace {

using Rule = FusedAdam::Rule;

// One parameter with its state in float64 on the CPU.
struct Reference {
  at::Tensor parameter, average, square;

  explicit Reference(const at::Tensor& from)
      : parameter(from.to(at::kCPU, at::kDouble)),
        average(at::zeros_like(parameter)),
        square(at::zeros_like(parameter)) {}

  void step(const at::Tensor& given, const FusedAdam::Options& own, Rule rule, double rate, int t,
            double scale = 1) {
    at::Tensor gradient = given.to(at::kCPU, at::kDouble) * scale;
    const bool decoupled = rule == Rule::kAdamW || rule == Rule::kMmfAdamW;
    if (!decoupled) gradient = gradient + own.weight_decay * parameter;
    if (rule == Rule::kAdamW) parameter = parameter * (1 - rate * own.weight_decay);
    average = own.beta1 * average + (1 - own.beta1) * gradient;
    const double step = rate / (1 - std::pow(own.beta1, t));
    if (rule == Rule::kAdamax) {
      square = (own.beta2 * square).maximum(gradient.abs() + own.eps);
      parameter = parameter - step * average / square;
      return;
    }
    square = own.beta2 * square + (1 - own.beta2) * gradient * gradient;
    const double correction = 1 - std::pow(own.beta2, t);
    if (rule == Rule::kMmfAdamW) {
      parameter = parameter - step * std::sqrt(correction) * average / (square.sqrt() + own.eps);
      parameter = parameter * (1 - rate * own.weight_decay);
      return;
    }
    const at::Tensor root = (square / correction).sqrt();
    parameter = parameter - step * average / (root + own.eps);
  }

  [[nodiscard]] bool is_like(const at::Tensor& found, const at::Tensor& found_average,
                             const at::Tensor& found_square) const {
    const auto close = [](const at::Tensor& one, const at::Tensor& other) {
      return at::allclose(one.to(at::kCPU, at::kDouble), other, 1e-5, 1e-6);
    };
    return close(found, parameter) && close(found_average, average) && close(found_square, square);
  }
};

// Three steps of a batch, with gradients that change, beside the formula.
void expect_formula(FusedAdam::Batch batch, Rule rule) {
  std::vector<Reference> expected(batch.parameters.begin(), batch.parameters.end());
  FusedAdam adam({kAdamOptions}, rule);
  for (int t = 1; t <= 3; ++t) {
    adam.step(batch, {kRate * t});
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i].step(batch.gradients[i], kAdamOptions, rule, kRate * t, t);
      batch.gradients[i].mul_(-0.7);
    }
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(expected[i].is_like(batch.parameters[i], batch.averages[i], batch.squares[i]))
        << "parameter " << i << " of " << batch.parameters[i].numel() << " numbers";
    EXPECT_EQ(batch.steps[i].item<float>(), 3);
  }
}

// A chunk is 1024 numbers of so few, a pack 4.
const std::vector<std::int64_t> kSizes = {0,    1,     3,     4,     5,     31, 1023,
                                          1025, 16383, 16384, 16385, 49157, 0,  70001};
// Chunks of 4096 numbers, and of 16384, which are the largest.
const std::vector<std::vector<std::int64_t>> kLargeSizes = {{5'000'001, 4095, 4097, 3},
                                                            {18'000'001, 16383, 16385}};

TEST_F(FusedAdamGpuTest, IsTheFormulaAtAllSizes) {
  for (const Rule rule : {Rule::kAdam, Rule::kAdamW, Rule::kAdamax, Rule::kMmfAdamW}) {
    expect_formula(batch(kSizes), rule);
  }
}

TEST_F(FusedAdamGpuTest, IsTheFormulaAtLargeSizes) {
  for (const auto& sizes : kLargeSizes) expect_formula(batch(sizes), Rule::kAdamW);
}

TEST_F(FusedAdamGpuTest, IsTheFormulaAtAllAlignments) {
  for (const std::int64_t offset : {1, 2, 3}) expect_formula(batch(kSizes, offset), Rule::kAdamW);
}

TEST_F(FusedAdamGpuTest, IsTheFormulaWithGradientsInBfloat16) {
  for (const std::int64_t offset : {0, 1}) {
    expect_formula(batch(kSizes, offset, at::kBFloat16), Rule::kAdamW);
  }
}

// More than one launch takes, the last of them with few; and one tensor of nothing.
TEST_F(FusedAdamGpuTest, TakesAnyNumberOfTensors) {
  for (const std::size_t count : {1U, 32U, 33U, 300U, 416U, 417U, 900U}) {
    std::vector<std::int64_t> sizes(count);
    std::iota(sizes.begin(), sizes.end(), 0);
    expect_formula(batch(sizes), Rule::kAdamW);
  }
}

TEST_F(FusedAdamGpuTest, AGradientMayLieInAnotherOrder) {
  const at::Tensor parameter = numbers(15, 0).view({3, 5});
  const at::Tensor gradient = numbers(15, 0).view({5, 3}).t();
  Reference expected(parameter);
  expected.step(gradient, kAdamOptions, Rule::kAdamW, kRate, 1);
  const at::Tensor average = at::zeros_like(parameter);
  const at::Tensor square = at::zeros_like(parameter);
  FusedAdam({kAdamOptions}, Rule::kAdamW)
      .step({{parameter}, {gradient}, {average}, {square}, {number(0)}, {0}}, {kRate});
  EXPECT_TRUE(expected.is_like(parameter, average, square));
}

TEST_F(FusedAdamGpuTest, EachGroupHasARateAndOptionsOfItsOwn) {
  FusedAdam::Batch both = batch({100, 20000});
  both.groups = {1, 0};
  FusedAdam::Options other = kAdamOptions;
  other.weight_decay = 0;
  other.beta1 = 0.5;
  other.eps = 1e-3;
  std::vector<Reference> expected(both.parameters.begin(), both.parameters.end());
  FusedAdam adam({kAdamOptions, other}, Rule::kAdamW);
  for (int t = 1; t <= 2; ++t) {
    adam.step(both, {0.01, 0.02});
    expected[0].step(both.gradients[0], other, Rule::kAdamW, 0.02, t);
    expected[1].step(both.gradients[1], kAdamOptions, Rule::kAdamW, 0.01, t);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(expected[i].is_like(both.parameters[i], both.averages[i], both.squares[i])) << i;
  }
}

TEST_F(FusedAdamGpuTest, AScaleIsOfOneStepAndLeavesTheGradientAsItIs) {
  const FusedAdam::Batch one = batch({1000});
  const at::Tensor gradient = one.gradients[0].clone();
  Reference expected(one.parameters[0]);
  FusedAdam adam({kAdamOptions}, Rule::kAdam);
  adam.scale_next(number(0.25));
  adam.step(one, {kRate});
  adam.step(one, {kRate});
  expected.step(gradient, kAdamOptions, Rule::kAdam, kRate, 1, 0.25);
  expected.step(gradient, kAdamOptions, Rule::kAdam, kRate, 2);
  EXPECT_TRUE(expected.is_like(one.parameters[0], one.averages[0], one.squares[0]));
  EXPECT_TRUE(one.gradients[0].equal(gradient));
}

TEST_F(FusedAdamGpuTest, ARecordedStepReadsRateScaleAndGradientWhenItIsReplayed) {
  const OnStream stream(device_);
  FusedAdam::Batch all = batch({0, 5, 40000});
  std::vector<Reference> expected(all.parameters.begin(), all.parameters.end());
  FusedAdam adam({kAdamOptions}, Rule::kAdamW);
  const at::Tensor scale = number(1);
  std::string problem;
  const auto recorder = make_graph_recorder(device_, problem);
  ASSERT_NE(recorder, nullptr) << problem;
  const auto step = [&] {
    adam.scale_next(scale);
    adam.step(all, {kRate});
  };
  step();
  const auto recorded = recorder->record(step);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    expected[i].step(all.gradients[i], kAdamOptions, Rule::kAdamW, kRate, 1);
  }
  for (int t = 2; t <= 4; ++t) {
    const double rate = kRate * t;
    adam.write_rates({rate}, device_);
    scale.fill_(1.0 / t);
    for (const at::Tensor& gradient : all.gradients) gradient.mul_(-0.9);
    recorded->replay();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i].step(all.gradients[i], kAdamOptions, Rule::kAdamW, rate, t, 1.0F / t);
    }
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(expected[i].is_like(all.parameters[i], all.averages[i], all.squares[i])) << i;
    EXPECT_EQ(all.steps[i].item<float>(), 4);
  }
}

TEST_F(FusedAdamGpuTest, TwoRunsAreAlikeBitForBit) {
  const FusedAdam::Batch one = batch({70001});
  FusedAdam::Batch other = one;
  for (auto* tensors : {&other.parameters, &other.averages, &other.squares, &other.steps}) {
    (*tensors)[0] = (*tensors)[0].clone();
  }
  for (const FusedAdam::Batch& each : {one, other}) {
    FusedAdam adam({kAdamOptions}, Rule::kAdamW);
    for (int t = 0; t < 5; ++t) adam.step(each, {kRate});
  }
  EXPECT_TRUE(one.parameters[0].equal(other.parameters[0]));
}

class AdamOnGpuTest : public FusedAdamGpuTest {
 protected:
  [[nodiscard]] Problem problem() const {
    Problem moved;
    for (at::Tensor& parameter : moved.parameters) {
      parameter = parameter.detach().to(device_).set_requires_grad(true);
    }
    return moved;
  }
};

TEST_F(AdamOnGpuTest, TakesTheStepsOfTheCpu) {
  for (const char* type : {"adam", "adamw", "adamax", "adam_w"}) {
    const Value::Table params = {{"lr", 0.05}, {"weight_decay", 0.1}};
    Problem on_cpu;
    Problem on_gpu = problem();
    const auto cpu = make_optimizer(type, params, on_cpu.two_groups(Value::Table{{"lr", 0.02}}));
    const auto gpu = make_optimizer(type, params, on_gpu.two_groups(Value::Table{{"lr", 0.02}}));
    EXPECT_TRUE(gpu->capturable());
    for (int step = 0; step < 8; ++step) {
      cpu->set_lr_factor(1.0 / (1 + step));
      gpu->set_lr_factor(1.0 / (1 + step));
      on_cpu.run(*cpu, step, step + 1);
      on_gpu.run(*gpu, step, step + 1);
    }
    const auto expected = cpu->state_dict();
    const auto found = gpu->state_dict();
    ASSERT_EQ(expected.size(), found.size());
    for (const auto& [key, tensor] : expected) {
      EXPECT_TRUE(found.at(key).is_cuda()) << key;
      EXPECT_TRUE(at::allclose(found.at(key).cpu(), tensor, 1e-4, 1e-5)) << key;
    }
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(at::allclose(on_gpu.parameters[i].detach().cpu(), on_cpu.parameters[i].detach(),
                               1e-5, 1e-6));
    }
  }
}

TEST_F(AdamOnGpuTest, StateGoesFromOneDeviceToTheOther) {
  Problem on_cpu;
  Problem on_gpu = problem();
  const auto cpu = make_optimizer("adamw", {}, on_cpu.group());
  const auto gpu = make_optimizer("adamw", {}, on_gpu.group());
  on_gpu.run(*gpu, 0, 3);
  cpu->load_state_dict(gpu->state_dict());
  for (const auto& [key, tensor] : gpu->state_dict()) {
    EXPECT_TRUE(cpu->state_dict().at(key).equal(tensor.cpu())) << key;
  }
  on_cpu.run(*cpu, 3, 5);
  const auto other = make_optimizer("adamw", {}, on_gpu.group());
  other->load_state_dict(cpu->state_dict());
  EXPECT_EQ(other->state_dict().at("weight/step").item<float>(), 5);
  EXPECT_TRUE(other->state_dict().at("weight/step").is_cuda());
}

TEST_F(AdamOnGpuTest, VariantsWithoutAKernelTakeNoScaleAndAreNotRecorded) {
  Problem on_gpu = problem();
  for (const char* option : {"amsgrad", "maximize"}) {
    const auto optimizer = make_optimizer("adamw", {{option, true}}, on_gpu.group());
    on_gpu.run(*optimizer, 0, 2);
    EXPECT_FALSE(optimizer->scale_gradients(number(0.5))) << option;
    EXPECT_FALSE(optimizer->capturable()) << option;
  }
}

// Which gradients are zero, the CPU has to know.
TEST_F(AdamOnGpuTest, TheOneThatSkipsZeroGradientsIsNotRecorded) {
  Problem on_gpu = problem();
  const auto optimizer =
      make_optimizer("adam_w_skip_params_with_zero_grad", {{"lr", 0.1}}, on_gpu.group());
  on_gpu.run(*optimizer, 0, 2);
  EXPECT_FALSE(optimizer->capturable());
  const at::Tensor bias = on_gpu.parameters[1].detach().clone();
  on_gpu.parameters[1].mutable_grad().zero_();
  EXPECT_TRUE(optimizer->scale_gradients(number(0.5)));
  optimizer->step();
  EXPECT_TRUE(on_gpu.parameters[1].equal(bias));
  EXPECT_EQ(optimizer->state_dict().at("bias/step").item<float>(), 1);
}

// What clipping does with the gradients elsewhere.
TEST_F(AdamOnGpuTest, ClipsInItsStep) {
  Problem clipped = problem();
  Problem scaled = problem();
  const auto one = make_optimizer("adam", {{"eps", 0.1}}, clipped.group());
  const auto other = make_optimizer("adam", {{"eps", 0.1}}, scaled.group());
  for (int step = 0; step < 3; ++step) {
    for (std::size_t i = 0; i < 2; ++i) {
      const at::Tensor gradient = gradient_at(clipped.parameters[i], step);
      clipped.parameters[i].mutable_grad() = gradient;
      scaled.parameters[i].mutable_grad() = gradient.clone();
    }
    const at::Tensor before = clipped.parameters[0].grad().clone();
    const at::Tensor norm = clip_grad_norm(*one, 0.5);
    EXPECT_TRUE(clipped.parameters[0].grad().equal(before));
    for (const at::Tensor& parameter : scaled.parameters) {
      parameter.mutable_grad().mul_(clip_scale(norm, 0.5));
    }
    one->step();
    other->step();
  }
  EXPECT_TRUE(at::allclose(clipped.parameters[0], scaled.parameters[0], 1e-5, 1e-7));
}

TEST_F(FusedAdamGpuTest, TheNormIsThatOfAllNumbersTogether) {
  std::vector<std::int64_t> sizes = kSizes;
  while (sizes.size() < 1100) {  // more than one launch takes
    sizes.push_back(static_cast<std::int64_t>(sizes.size() % 9));
  }
  for (const std::int64_t offset : {0, 1}) {
    for (const auto& each : {sizes, kLargeSizes[0], kLargeSizes[1]}) {
      std::vector<at::Tensor> tensors;
      double squares = 0;
      for (std::size_t i = 0; i < each.size(); ++i) {
        const at::ScalarType types[] = {at::kFloat, at::kBFloat16, at::kHalf};
        tensors.push_back(numbers(each[i], offset, types[i % 3]));
        squares += tensors.back().to(at::kCPU, at::kDouble).square().sum().item<double>();
      }
      const at::Tensor norm = l2_norm(tensors);
      EXPECT_NEAR(norm.item<double>(), std::sqrt(squares), 2e-6 * std::sqrt(squares));
      EXPECT_TRUE(norm.equal(l2_norm(tensors)));
    }
  }
  EXPECT_EQ(l2_norm({numbers(0, 0)}).item<float>(), 0);
}

}  // namespace
}  // namespace pergola::host
