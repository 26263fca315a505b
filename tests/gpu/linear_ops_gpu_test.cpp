// SPDX-License-Identifier: BSD-3-Clause
// ops::linear and ops::linear_dot_rows, beside their unfused forms in double precision: with
// numbers that the type under test holds exactly, so that a ReLU lets pass the same on both sides.
#include "gpu/fused_adam_kit.h"
#include "gpu/fused_ops_fixture.h"
#include "host/device/autocast.h"
#include "host/device/on_stream.h"
#include "host/device/step_graph.h"
#include "pergola/ops.h"

#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using ops::Activation;
using ops::LinearLayer;

class LinearOpsTest : public FusedOpsTest {
 protected:
  // In float32, as weights are under autocast, with what the type under test holds of them; small,
  // so that gradients stay within what a half holds.
  at::Tensor weight(at::IntArrayRef sizes, std::int64_t offset = 0) const {
    const at::Tensor memory =
        torch::randn({c10::multiply_integers(sizes) + offset}).to(GetParam()).to(at::kFloat) / 8;
    return memory.to(device_).slice(0, offset).view(sizes).detach().requires_grad_(true);
  }
  // With it a normalized weight is twice v, which is held exactly too.
  static at::Tensor twice_the_norm_of(const at::Tensor& v) {
    return (v.detach().to(at::kDouble).norm() * 2).to(at::kFloat).requires_grad_(true);
  }
  static double bound() { return GetParam() == at::kFloat ? 1e-5 : bound_of(GetParam()); }

  // As expect_alike(), pulled at by the result itself and some noise: the gradient of weight_g is
  // a sum of numbers of one sign, so that rounding is small beside it.
  void expect_layers_alike(const Tensors& leaves, const Function& fused,
                           const Function& unfused) const {
    Tensors references;
    for (const at::Tensor& each : leaves) {
      references.push_back(each.detach().to(at::kCPU, at::kDouble).requires_grad_(true));
    }
    const at::Tensor expected = unfused(references);
    const at::Tensor found = fused(leaves);
    ASSERT_EQ(found.sizes(), expected.sizes());
    EXPECT_LE(distance(found, expected.detach()), bound());
    const at::Tensor size = expected.detach().abs().mean();
    const at::Tensor noise = torch::randn(expected.sizes(), at::kDouble) * size;
    const at::Tensor pull = (expected.detach() + noise).to(GetParam()).to(at::kDouble);
    expected.backward(pull);
    found.backward(pull.to(found.options()));
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      ASSERT_TRUE(leaves[i].grad().defined()) << i;
      EXPECT_EQ(leaves[i].grad().scalar_type(), leaves[i].scalar_type()) << i;
      EXPECT_LE(distance(leaves[i].grad(), references[i].grad()), bound()) << "gradient " << i;
    }
  }
};

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu};

struct LayerSizes {
  std::vector<std::int64_t> x;
  std::int64_t outputs;
};

// Whole packs; outputs, inputs, and both that are none; one row, one output, one vector; more rows
// than one part of the sums has, and answers of VQA v2.
const LayerSizes kLayers[] = {{{3, 50, 64}, 48},   {{7, 72}, 29},    {{5, 3, 60}, 8},
                              {{4, 13}, 3},        {{1, 8}, 1},      {{64}, 16},
                              {{2, 150, 304}, 77}, {{130, 96}, 3129}};

TEST_P(LinearOpsTest, LinearIsThatOfTheCpu) {
  for (const LayerSizes& sizes : kLayers) {
    for (const Activation activation : kActivations) {
      for (const std::int64_t offset : {0, 1}) {
        SCOPED_TRACE(testing::Message()
                     << at::IntArrayRef(sizes.x) << " to " << sizes.outputs << ", activation "
                     << static_cast<int>(activation) << ", offset " << offset);
        const auto apply = [activation](auto op) {
          return [=](const Tensors& x) {
            return op(x[0], LinearLayer{x[1], x[2], {}, activation});
          };
        };
        expect_layers_alike({leaf(sizes.x, offset), weight({sizes.outputs, sizes.x.back()}, offset),
                             weight({sizes.outputs}, offset)},
                            apply(ops::linear), apply(ops::unfused::linear));
      }
    }
  }
}

TEST_P(LinearOpsTest, NormalizedWeightsAreThoseOfTheCpu) {
  for (const LayerSizes& sizes : kLayers) {
    if (sizes.outputs * sizes.x.back() < 64) continue;  // where what is across v is hardly there
    for (const Activation activation : kActivations) {
      for (const std::int64_t offset : {0, 1}) {
        SCOPED_TRACE(testing::Message()
                     << at::IntArrayRef(sizes.x) << " to " << sizes.outputs << ", activation "
                     << static_cast<int>(activation) << ", offset " << offset);
        const auto apply = [activation](auto op) {
          return [=](const Tensors& x) {
            return op(x[0], LinearLayer{x[1], x[2], x[3], activation});
          };
        };
        const at::Tensor v = weight({sizes.outputs, sizes.x.back()}, offset);
        expect_layers_alike(
            {leaf(sizes.x, offset), v, weight({sizes.outputs}, offset), twice_the_norm_of(v)},
            apply(ops::linear), apply(ops::unfused::linear));
      }
    }
  }
}

struct DotSizes {
  std::int64_t batch, rows, inputs, outputs, vectors;
};

// More rows than a block reads at once, and samples than there are parts of the sums; widths that
// are none of packs; fewer rows than warps; five vectors, which take the unfused dots.
constexpr DotSizes kDots[] = {{3, 100, 64, 504, 1}, {520, 3, 16, 24, 2}, {2, 37, 60, 29, 3},
                              {1, 5, 24, 264, 4},   {2, 1, 8, 8, 1},     {2, 9, 16, 40, 5}};

TEST_P(LinearOpsTest, DotsOfProjectedRowsAreThoseOfTheCpu) {
  for (const DotSizes& s : kDots) {
    for (const Activation activation : kActivations) {
      for (const bool normalized : {false, true}) {
        SCOPED_TRACE(testing::Message() << s.batch << ' ' << s.rows << ' ' << s.inputs << ' '
                                        << s.outputs << ' ' << s.vectors << ", activation "
                                        << static_cast<int>(activation) << ' ' << normalized);
        const auto apply = [=](auto op) {
          return [=](const Tensors& x) {
            const at::Tensor g = normalized ? x[5] : at::Tensor();
            return op(x[0], LinearLayer{x[1], x[2], g, activation}, x[3], x[4]);
          };
        };
        const at::Tensor v = weight({s.outputs, s.inputs});
        Tensors leaves = {leaf({s.batch, s.rows, s.inputs}), v, weight({s.outputs}),
                          weight({s.batch, s.vectors, s.outputs}), weight({s.vectors})};
        if (normalized) leaves.push_back(twice_the_norm_of(v));
        expect_layers_alike(leaves, apply(ops::linear_dot_rows),
                            apply(ops::unfused::linear_dot_rows));
      }
    }
  }
}

// Under autocast all leaves are float32; the second layer's bfloat16 weight is the copy that steps
// keep.
TEST_P(LinearOpsTest, LayersFollowAutocast) {
  if (GetParam() == at::kFloat) GTEST_SKIP() << "autocast is for half precision";
  const Precision precision = GetParam() == at::kHalf ? Precision::kFp16 : Precision::kBf16;
  const auto under_autocast = [precision](const Function& function) {
    return [=](const Tensors& x) {
      const AutocastScope autocast(x[0].device(), precision);
      return function(x);
    };
  };
  const at::Tensor v = weight({30, 40});
  const Tensors layer = {weight({2, 50, 40}), v, weight({30}), twice_the_norm_of(v)};
  const Function fused = under_autocast([](const Tensors& x) {
    return ops::linear(x[0], {x[1], x[2], x[3], Activation::kRelu});
  });
  EXPECT_EQ(fused(layer).scalar_type(), GetParam());
  expect_layers_alike(layer, fused, [](const Tensors& x) {
    return ops::unfused::linear(x[0], {x[1], x[2], x[3], Activation::kRelu});
  });
  expect_layers_alike(
      {weight({2, 50, 30}), weight({9, 30}), weight({9}), weight({2, 2, 9}), weight({2})},
      under_autocast([](const Tensors& x) {
        return ops::linear_dot_rows(x[0], {x[1], x[2]}, x[3], x[4]);
      }),
      [](const Tensors& x) {
        return ops::unfused::linear_dot_rows(x[0], {x[1], x[2]}, x[3], x[4]);
      });
}

TEST_P(LinearOpsTest, LayersOfNothingGiveNothing) {
  for (const Activation activation : kActivations) {
    const at::Tensor x = leaf({0, 16});
    const at::Tensor w = leaf({12, 16});
    const at::Tensor y = ops::linear(x, {w, leaf({12}), {}, activation});
    EXPECT_EQ(y.sizes(), (at::IntArrayRef{0, 12}));
    y.sum().backward();
    EXPECT_EQ(w.grad().abs().sum().item<double>(), 0);
    EXPECT_EQ(ops::linear_dot_rows(leaf({0, 5, 16}), {w, leaf({12}), {}, activation},
                                   leaf({0, 2, 12}), leaf({2}))
                  .sizes(),
              (at::IntArrayRef{0, 5, 2}));
  }
}

// The gradient that comes in may be another's too, and the result is saved: neither is written to.
TEST_P(LinearOpsTest, GradientsThatComeInStayAsTheyAre) {
  const at::Tensor x = leaf({20, 16});
  const at::Tensor y = ops::linear(x, {leaf({24, 16}), leaf({24}), {}, Activation::kRelu});
  const at::Tensor pull = torch::randn_like(y);
  const at::Tensor before = pull.clone();
  y.backward(pull);
  EXPECT_TRUE(pull.equal(before));
}

// Changed in place, the result no longer says where the ReLU let pass.
TEST_P(LinearOpsTest, ResultsOfReluThatAreChangedAreNoticed) {
  const at::Tensor x = leaf({20, 16});
  const at::Tensor y = ops::linear(x, {leaf({24, 16}), leaf({24}), {}, Activation::kRelu});
  y.add_(1);
  EXPECT_THROW(y.sum().backward(), c10::Error);
}

// Nor do inputs and weights say what the product was of.
TEST_P(LinearOpsTest, InputsAndWeightsThatAreChangedAreNoticed) {
  const std::vector<std::int64_t> shapes[] = {{20, 16}, {4, 5, 16}};
  for (const auto& sizes : shapes) {
    for (const int changed : {0, 1}) {
      const Tensors of = {leaf(sizes), leaf({24, 16})};
      const at::Tensor y = ops::linear(of[0], {of[1], leaf({24})});
      {
        const at::NoGradGuard no_grad;
        of[changed].add_(1);
      }
      EXPECT_THROW(y.sum().backward(), c10::Error) << at::IntArrayRef(sizes) << ' ' << changed;
    }
  }
}

TEST_P(LinearOpsTest, ANanPassesTheReluOfFloat32) {
  if (GetParam() != at::kFloat) GTEST_SKIP() << "of half precision it may become 0";
  const at::Tensor x = leaf({20, 16});
  {
    const at::NoGradGuard no_grad;
    x[3].fill_(std::numeric_limits<double>::quiet_NaN());
  }
  const at::Tensor y = ops::linear(x, {leaf({24, 16}), leaf({24}), {}, Activation::kRelu});
  EXPECT_TRUE(y[3].isnan().all().item<bool>());
}

TEST_P(LinearOpsTest, GradientsAreTheSameEachTime) {
  const Tensors leaves = {leaf({4, 60, 64}), weight({120, 64}), weight({120}), weight({4, 1, 120}),
                          weight({1})};
  const at::Tensor g = twice_the_norm_of(leaves[1]);
  const auto run = [&] {
    const LinearLayer layer = {leaves[1], leaves[2], g, Activation::kRelu};
    const at::Tensor dots = ops::linear_dot_rows(leaves[0], layer, leaves[3], leaves[4]);
    const at::Tensor sum = dots.sum() + ops::linear(leaves[0], layer).to(at::kFloat).square().sum();
    return torch::autograd::grad({sum}, {leaves[0], leaves[1], leaves[2], leaves[3], g});
  };
  const auto first = run();
  const auto second = run();
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(first[i].equal(second[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(All, LinearOpsTest, testing::Values(at::kFloat, at::kHalf, at::kBFloat16));

// A recorded step reads each weight as the last one left it: a plain weight's copy, with 29 rows
// and what is behind them, and v.
class LinearOpsRecordedTest : public FusedAdamGpuTest {};

TEST_F(LinearOpsRecordedTest, ReplaysReadTheWeightsOfTheStepBefore) {
  constexpr double kLargeRate = 0.1;
  const OnStream stream(device_);
  FusedAdam::Batch all = batch({29 * 64, 29, 48 * 64, 48, 1});
  Tensors& weights = all.parameters;
  weights[0] = weights[0].view({29, 64}).clone();
  weights[2] = weights[2].view({48, 64}).clone();
  weights[4] = weights[2].norm();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i].requires_grad_(true);
    for (auto* state : {&all.averages, &all.squares}) (*state)[i] = torch::zeros_like(weights[i]);
  }
  const at::Tensor x = torch::randn({40, 64}, device_).to(at::kBFloat16);
  const at::Tensor pull = torch::randn({40, 77}, device_).to(at::kBFloat16);
  const at::Tensor seen = torch::zeros_like(pull);
  FusedAdam adam({kAdamOptions}, FusedAdam::Rule::kAdamax);
  const auto step = [&] {
    const auto forward = [&] {
      const AutocastScope autocast(device_, Precision::kBf16);
      return at::cat({ops::linear(x, {weights[0], weights[1]}),
                      ops::linear(x, {weights[2], weights[3], weights[4], Activation::kRelu})},
                     1);
    };
    const at::Tensor y = forward();
    seen.copy_(y.detach());
    all.gradients = torch::autograd::grad({y}, {weights.begin(), weights.end()}, {pull});
    const at::NoGradGuard no_grad;
    adam.step(all, {kLargeRate});
  };
  step();
  step();
  std::string problem;
  const auto recorder = make_graph_recorder(device_, problem);
  const auto recorded = recorder->record(step);
  for (int i = 0; i < 3; ++i) {
    SCOPED_TRACE(i);
    Tensors before;
    for (const at::Tensor& each : weights) {
      before.push_back(each.detach().to(at::kBFloat16).to(at::kDouble));
    }
    const at::Tensor scale = weights[4].detach() / weights[2].detach().norm();
    before[2] = (weights[2].detach() * scale).to(at::kBFloat16).to(at::kDouble);
    const at::Tensor wide = x.to(at::kDouble);
    const at::Tensor expected = at::cat(
        {at::linear(wide, before[0], before[1]), at::linear(wide, before[2], before[3]).relu()}, 1);
    recorded->replay();
    // A result is rounded by 2^-9 at most. Weights around 1 that are a step old are off by 0.1.
    EXPECT_LE(((seen.to(at::kDouble) - expected).norm() / expected.norm()).item<double>(), 4e-3);
  }
}

}  // namespace
}  // namespace pergola::host
