// SPDX-License-Identifier: BSD-3-Clause
// The linear layers among the operators of pergola/ops.h, on the CPU.
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <torch/types.h>

#include <gtest/gtest.h>

namespace pergola::ops {
namespace {

at::Tensor doubles(const at::Tensor& x) { return x.to(at::kDouble).requires_grad_(true); }

// 1 - 2 + 0.5 and 2 + 1 - 1.
TEST(OpsLinearTest, LinearAddsTheBiasAndCutsOffBelowZero) {
  const at::Tensor x = torch::tensor({{1.0, 2.0}});
  const LinearLayer layer = {torch::tensor({{1.0, -1.0}, {2.0, 0.5}}), torch::tensor({0.5, -1.0})};
  EXPECT_TRUE(linear(x, layer).equal(torch::tensor({{-0.5, 2.0}})));
  const LinearLayer relu = {layer.weight_MK, layer.bias_M, {}, Activation::kRelu};
  EXPECT_TRUE(linear(x, relu).equal(torch::tensor({{0.0, 2.0}})));
}

// ||v|| = 5, so W = 10 v / 5 = (6, 8) and y = 6 + 8 + 1. dW = (1, 1), whose inner product with v is
// 7: dg = 7 / 5, dv = 2 ((1, 1) - 7 / 25 (3, 4)).
TEST(OpsLinearTest, WeightsAreNormalizedAsAWhole) {
  const at::Tensor v = doubles(torch::tensor({{3.0, 4.0}}));
  const at::Tensor g = doubles(torch::tensor(10.0));
  const at::Tensor one = torch::ones({1, 2}, at::kDouble);
  const at::Tensor y = linear(one, {v, torch::ones({1}, at::kDouble), g, Activation::kRelu});
  EXPECT_NEAR(y.item<double>(), 15, 1e-12);
  y.backward();
  EXPECT_NEAR(g.grad().item<double>(), 1.4, 1e-12);
  EXPECT_TRUE(v.grad().allclose(torch::tensor({{0.32, -0.24}}, at::kDouble), 0, 1e-12));
}

// One row after the other, however they lie; and no row at all.
TEST(OpsLinearTest, RowsOfAnyShapeAreTaken) {
  const LinearLayer layer = {torch::randn({3, 4}), torch::randn({3}), {}, Activation::kRelu};
  const at::Tensor x = torch::randn({2, 5, 4});
  const at::Tensor rows = linear(x.view({10, 4}), layer);
  EXPECT_TRUE(linear(x, layer).equal(rows.view({2, 5, 3})));
  EXPECT_TRUE(linear(x.transpose(0, 1), layer).allclose(rows.view({2, 5, 3}).transpose(0, 1)));
  EXPECT_TRUE(linear(x[1][2], layer).allclose(rows[7]));
  EXPECT_EQ(linear(x.narrow(0, 0, 0), layer).sizes(), (at::IntArrayRef{0, 5, 3}));
}

// relu(1 - 2), relu(2) beside (3, 4), and one more: 0 * 3 + 2 * 4 + 1. The gradient of the bias in
// front of the ReLU is the vector where it lets pass.
TEST(OpsLinearTest, RowsOfALayerAreMultipliedByFewVectors) {
  const at::Tensor bias = doubles(torch::tensor({-2.0, 0.0}));
  const at::Tensor weight = torch::tensor({{1.0, 0.0}, {0.0, 1.0}}, at::kDouble);
  const at::Tensor x = torch::tensor({{{1.0, 2.0}}}, at::kDouble);
  const at::Tensor y = doubles(torch::tensor({{{3.0, 4.0}}}));
  const at::Tensor dots =
      linear_dot_rows(x, {weight, bias, {}, Activation::kRelu}, y, torch::ones({1}, at::kDouble));
  EXPECT_EQ(dots.sizes(), (at::IntArrayRef{1, 1, 1}));
  EXPECT_EQ(dots.item<double>(), 9);
  dots.backward();
  EXPECT_TRUE(bias.grad().equal(torch::tensor({0.0, 4.0}, at::kDouble)));
  EXPECT_TRUE(y.grad().equal(torch::tensor({{{0.0, 2.0}}}, at::kDouble)));
}

// As of a packed batch without any token.
TEST(OpsRowsTest, OfNoRowsNoneCanBeGathered) {
  const at::Tensor x = torch::zeros({0, 3}).requires_grad_(true);
  const at::Tensor found = ops::gather_rows(x, torch::full({2}, -1, at::kLong));
  EXPECT_TRUE(found.equal(torch::zeros({2, 3})));
  found.sum().backward();
  EXPECT_EQ(x.grad().sizes(), x.sizes());
}

}  // namespace
}  // namespace pergola::ops
