// SPDX-License-Identifier: BSD-3-Clause
// The fused losses on a GPU beside LibTorch's operators in float64 on the CPU: values and
// gradients, at widths that are no multiple of anything, from memory that begins anywhere.
#include "gpu/gpu_fixture.h"
#include "host/device/cuda_library.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace pergola::host {
namespace {

using ops::EmptyMean;
using LossOf = std::function<at::Tensor(const at::Tensor& logits)>;

constexpr at::ScalarType kTypes[] = {at::kFloat, at::kHalf, at::kBFloat16};

struct LossAndGradient {
  double loss;
  at::Tensor gradient;  // float64, on the CPU
};

LossAndGradient compute(const at::Tensor& logits, const LossOf& loss_of) {
  const at::Tensor leaf = logits.detach().requires_grad_(true);
  const at::Tensor loss = loss_of(leaf);
  (loss * 3).backward();
  return {loss.item<double>(), leaf.grad().to(at::kCPU, at::kDouble)};
}

// How far the numbers of a type are from those that they stand for.
double rounding_of(at::ScalarType type) {
  return type == at::kFloat ? 1e-5 : type == at::kHalf ? 1e-3 : 8e-3;
}

class FusedLossesTest : public OnGpu<> {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    if (cuda_library() == nullptr) GTEST_SKIP() << "this build has no libpergola_cuda.so";
    torch::manual_seed(5);
  }

  // Of numbers [rows, classes], which begin `offset` numbers behind the begin of their memory.
  [[nodiscard]] at::Tensor logits(std::int64_t rows, std::int64_t classes, at::ScalarType type,
                                  std::int64_t offset = 0, double spread = 3) const {
    const at::Tensor memory = torch::randn({rows * classes + offset}) * spread;
    return memory.to(device_, type).narrow(0, offset, rows * classes).view({rows, classes});
  }

  // `fused` on the GPU beside `plain` in float64 on the CPU. The loss is a mean over `terms`, whose
  // slopes are rounded as numbers of about 1; below half precision's smallest number they are 0.
  static void expect_alike(const at::Tensor& logits, const LossOf& fused, const LossOf& plain,
                           std::int64_t terms) {
    const LossAndGradient found = compute(logits, fused);
    const LossAndGradient expected = compute(logits.to(at::kCPU, at::kDouble), plain);
    SCOPED_TRACE(testing::Message() << "logits " << logits.sizes() << " " << logits.scalar_type());
    EXPECT_NEAR(found.loss, expected.loss, 2e-6 * std::abs(expected.loss) + 5e-7);
    const double least = logits.scalar_type() == at::kHalf ? 1e-7 : 0;
    EXPECT_TRUE(at::allclose(found.gradient, expected.gradient, rounding_of(logits.scalar_type()),
                             3e-6 / static_cast<double>(terms) + least));
  }

  static void expect_bce(const at::Tensor& logits, const at::Tensor& targets) {
    const at::Tensor wide = targets.to(at::kCPU, at::kDouble);
    expect_alike(
        logits, [&](const at::Tensor& x) { return ops::bce_with_logits(x, targets); },
        [&](const at::Tensor& x) { return at::binary_cross_entropy_with_logits(x, wide); },
        logits.numel());
  }

  static void expect_cross_entropy(const at::Tensor& logits, const at::Tensor& targets,
                                   std::int64_t ignored = -100) {
    const at::Tensor on_cpu = targets.cpu();
    for (const EmptyMean empty : {EmptyMean::kNan, EmptyMean::kZero}) {
      expect_alike(
          logits,
          [&](const at::Tensor& x) { return ops::cross_entropy(x, targets, ignored, empty); },
          [&](const at::Tensor& x) {
            return ops::unfused::cross_entropy(x, on_cpu, ignored, empty);
          },
          on_cpu.ne(ignored).sum().item<std::int64_t>());
    }
  }

  [[nodiscard]] at::Tensor classes(std::int64_t rows, std::int64_t count) const {
    return torch::randint(count, {rows}, torch::kLong).to(device_);
  }
};

struct Shape {
  std::int64_t rows, classes;
};
// Narrow rows are a warp's, wide ones a block's of 256 or 1024; 8 or 4 numbers are one access.
constexpr Shape kShapes[] = {{1, 1},    {1, 2},      {5, 13},   {3, 512},   {3, 513},
                             {7, 1025}, {128, 3129}, {2, 8193}, {9, 30522}, {33, 8}};

TEST_F(FusedLossesTest, BceIsTorchsAtAllSizes) {
  for (const auto [rows, classes] : kShapes) {
    const at::Tensor targets = torch::rand({rows, classes}).to(device_);
    for (const at::ScalarType type : kTypes) {
      for (const std::int64_t offset : {0, 1, 3}) {
        expect_bce(logits(rows, classes, type, offset), targets);
      }
    }
  }
}

TEST_F(FusedLossesTest, BceTakesTargetsOfOtherTypesAndOrders) {
  const at::Tensor x = logits(16, 33, at::kBFloat16);
  expect_bce(x, torch::rand({16, 33}).to(device_, at::kHalf));
  expect_bce(x, torch::randint(2, {16, 33}, torch::kLong).to(device_));
  expect_bce(x, torch::rand({33, 16}).to(device_).t());
  expect_bce(x, torch::rand({16, 1}).to(device_).expand({16, 33}));
}

// e^100 is no number of float32.
TEST_F(FusedLossesTest, BceOfLargeLogitsIsFinite) {
  const at::Tensor x = torch::tensor({{100.0F, -100.0F, 1e4F, -1e4F, 0.0F, 88.0F}}).to(device_);
  const at::Tensor t = torch::tensor({{0.0F, 1.0F, 1.0F, 0.0F, 0.5F, 0.25F}}).to(device_);
  expect_bce(x, t);
}

TEST_F(FusedLossesTest, CrossEntropyIsTorchsAtAllSizes) {
  for (const auto [rows, count] : kShapes) {
    const at::Tensor targets = classes(rows, count);
    for (const at::ScalarType type : kTypes) {
      for (const std::int64_t offset : {0, 1, 3}) {
        expect_cross_entropy(logits(rows, count, type, offset), targets);
      }
    }
  }
}

TEST_F(FusedLossesTest, CrossEntropyLeavesOutIgnoredRows) {
  for (const std::int64_t ignored : {-100, -1, 2}) {
    const at::Tensor targets = classes(64, 3129).index_fill_(
        0, torch::arange(0, 64, 3, torch::kLong).to(device_), ignored);
    for (const at::ScalarType type : kTypes) {
      expect_cross_entropy(logits(64, 3129, type), targets, ignored);
    }
  }
}

TEST_F(FusedLossesTest, CrossEntropyOfNoRowsIsWhatIsAskedForWithoutAGradient) {
  const at::Tensor targets = torch::full({5}, -1, torch::kLong).to(device_);
  for (const EmptyMean empty : {EmptyMean::kNan, EmptyMean::kZero}) {
    const LossAndGradient found = compute(logits(5, 3129, at::kBFloat16), [&](const at::Tensor& x) {
      return ops::cross_entropy(x, targets, -1, empty);
    });
    EXPECT_EQ(std::isnan(found.loss), empty == EmptyMean::kNan);
    if (empty == EmptyMean::kZero) {
      EXPECT_EQ(found.loss, 0);
    }
    EXPECT_TRUE(found.gradient.eq(0).all().item<bool>());
  }
}

TEST_F(FusedLossesTest, CrossEntropyOfLargeAndOfImpossibleLogits) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const at::Tensor x = torch::tensor({{1e4F, 1e4F - 2, -1e4F, kNever, 0.0F},
                                      {kNever, kNever, 3.0F, kNever, kNever},
                                      {-1e30F, -1e30F, -1e30F, 1e30F, 0.0F}})
                           .to(device_);
  expect_cross_entropy(x, torch::tensor({1, 2, 3}, torch::kLong).to(device_));
  const at::Tensor wide = logits(4, 3129, at::kBFloat16, /*offset=*/1);
  wide.narrow(1, 5, 3000).fill_(kNever);
  expect_cross_entropy(wide, torch::tensor({0, 4, 3005, 3128}, torch::kLong).to(device_));
}

// The probability of the class is 0, or no number; so is the loss.
TEST_F(FusedLossesTest, CrossEntropyThatIsNotFiniteIsNotHidden) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto loss_of = [&](const std::vector<float>& row) {
    const at::Tensor x = torch::tensor(row).view({1, -1}).to(device_);
    const at::Tensor first = torch::zeros({1}, torch::kLong).to(device_);
    return ops::cross_entropy(x, first, -100, EmptyMean::kNan).item<double>();
  };
  EXPECT_EQ(loss_of({-kInfinity, 0}), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(loss_of({kInfinity, 0})));
  EXPECT_TRUE(std::isnan(loss_of({-kInfinity, -kInfinity})));
  EXPECT_TRUE(std::isnan(loss_of({0, std::nanf("")})));
  EXPECT_TRUE(std::isnan(loss_of({std::nanf(""), std::nanf("")})));
}

TEST_F(FusedLossesTest, AreAlikeBitForBitInTwoRuns) {
  const at::Tensor x = logits(512, 3129, at::kBFloat16);
  const at::Tensor soft = torch::rand({512, 3129}).to(device_);
  const at::Tensor numbers = classes(512, 3129);
  const LossOf losses[] = {
      [&](const at::Tensor& s) { return ops::bce_with_logits(s, soft); },
      [&](const at::Tensor& s) { return ops::cross_entropy(s, numbers, -1, EmptyMean::kZero); }};
  for (const LossOf& loss_of : losses) {
    const LossAndGradient one = compute(x, loss_of);
    const LossAndGradient other = compute(x, loss_of);
    EXPECT_EQ(one.loss, other.loss);
    EXPECT_TRUE(one.gradient.equal(other.gradient));
  }
}

TEST_F(FusedLossesTest, HaveSecondDerivatives) {
  const at::Tensor soft = torch::rand({4, 7}).to(device_);
  const at::Tensor numbers = torch::tensor({0, 6, -1, 3}, torch::kLong).to(device_);
  struct Pair {
    LossOf fused, plain;
  };
  const Pair pairs[] = {
      {[&](const at::Tensor& s) { return ops::bce_with_logits(s, soft); },
       [&](const at::Tensor& s) { return ops::unfused::bce_with_logits(s, soft); }},
      {[&](const at::Tensor& s) { return ops::cross_entropy(s, numbers, -1, EmptyMean::kZero); },
       [&](const at::Tensor& s) {
         return ops::unfused::cross_entropy(s, numbers, -1, EmptyMean::kZero);
       }}};
  const at::Tensor x = logits(4, 7, at::kFloat).requires_grad_(true);
  const auto second = [&](const LossOf& loss_of) {
    const at::Tensor slope = torch::autograd::grad({loss_of(x)}, {x}, /*grad_outputs=*/{},
                                                   /*retain_graph=*/true, /*create_graph=*/true)[0];
    return torch::autograd::grad({slope.square().sum()}, {x})[0];
  };
  for (const Pair& pair : pairs) {
    EXPECT_TRUE(at::allclose(second(pair.fused), second(pair.plain), 1e-4, 1e-7));
  }
}

}  // namespace
}  // namespace pergola::host
