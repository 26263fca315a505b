// SPDX-License-Identifier: BSD-3-Clause
// One multiplication and one addition are two operations.
#include "host/callbacks/flop_counter.h"

#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/nn/functional/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include <optional>
#include <thread>

namespace pergola::host {
namespace {

template <class Work>
std::int64_t flops_of(const Work& work) {
  const FlopCounter counter;
  work();
  return counter.flops();
}

at::Tensor learned(at::IntArrayRef shape) { return torch::randn(shape, torch::requires_grad()); }

TEST(FlopCounterTest, ALinearLayerCostsSixTimesBatchInputsAndOutputs) {
  torch::nn::Linear linear(5, 7);
  const at::Tensor x = learned({3, 5});
  EXPECT_EQ(flops_of([&] { linear(x).sum().backward(); }), 6 * 3 * 5 * 7);
}

TEST(FlopCounterTest, WithoutAGradientOfTheInputItCostsFour) {
  torch::nn::Linear linear(5, 7);
  const at::Tensor x = torch::randn({3, 5});
  EXPECT_EQ(flops_of([&] { linear(x).sum().backward(); }), 4 * 3 * 5 * 7);
}

TEST(FlopCounterTest, WithoutABackwardPassItCostsTwo) {
  torch::nn::Linear linear(5, 7);
  const torch::NoGradGuard no_grad;
  // [2, 3, 5] is six rows.
  EXPECT_EQ(flops_of([&] { linear(torch::randn({2, 3, 5})); }), 2 * 6 * 5 * 7);
}

TEST(FlopCounterTest, BatchedProductsCountEachMatrix) {
  const at::Tensor a = learned({4, 2, 3});
  const at::Tensor b = learned({4, 3, 5});
  EXPECT_EQ(flops_of([&] { at::matmul(a, b).sum().backward(); }), 6 * 4 * 2 * 3 * 5);
  EXPECT_EQ(flops_of([&] {
              at::baddbmm(at::zeros({4, 2, 5}), a.detach(), b.detach());
            }),
            2 * 4 * 2 * 3 * 5);
  EXPECT_EQ(flops_of([&] { at::mv(a.detach()[0], at::ones({3})); }), 2 * 2 * 3);
}

TEST(FlopCounterTest, AConvolutionCountsItsWindowAtEachPlace) {
  const at::Tensor x = learned({2, 4, 8, 8});
  const at::Tensor weight = learned({6, 2, 3, 3});  // two groups
  namespace F = torch::nn::functional;
  const auto options = F::Conv2dFuncOptions().stride(2).padding(1).groups(2);
  // 2 samples, 6 channels, 4 x 4 places, each of 2 x 3 x 3 products; forward and two gradients.
  EXPECT_EQ(flops_of([&] { F::conv2d(x, weight, options).sum().backward(); }),
            3 * 2 * (2 * 6 * 4 * 4) * (2 * 3 * 3));
  // Without the gradient of the input, as of a first layer.
  EXPECT_EQ(flops_of([&] { F::conv2d(x.detach(), weight, options).sum().backward(); }),
            2 * 2 * (2 * 6 * 4 * 4) * (2 * 3 * 3));
}

TEST(FlopCounterTest, ATransposedConvolutionCountsEachPlaceOfItsInput) {
  const at::Tensor x = learned({2, 4, 5});
  const at::Tensor weight = learned({4, 6, 3});
  // 2 samples, 4 channels, 5 places, each spread over 6 x 3 outputs; forward and two gradients.
  EXPECT_EQ(flops_of([&] { at::conv_transpose1d(x, weight).sum().backward(); }),
            3 * 2 * (2 * 4 * 5) * (6 * 3));
}

TEST(FlopCounterTest, FusedAttentionCostsAsMuchAsItsMatrixProducts) {
  const auto attention_flops = [](const std::optional<at::Tensor>& mask) {
    const at::Tensor q = learned({2, 3, 5, 8});
    const at::Tensor k = learned({2, 3, 7, 8});
    const at::Tensor v = learned({2, 3, 7, 8});
    return flops_of([&] { at::scaled_dot_product_attention(q, k, v, mask).sum().backward(); });
  };
  // 2 x 3 heads of 5 x 7 scores, 8 products for each, and as many for the values; three times.
  constexpr std::int64_t kExpected = 3 * 2 * 2 * (2 * 3 * 5 * 7 * 8);
  EXPECT_EQ(attention_flops(std::nullopt), kExpected);
  // A mask that needs a gradient is not for the fused kernels.
  EXPECT_EQ(attention_flops(learned({5, 7})), kExpected);
}

TEST(FlopCounterTest, ARecurrentLayerSendsEachStepThroughItsMatrices) {
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(4, 6).num_layers(2).bidirectional(true));
  const at::Tensor x = torch::randn({5, 3, 4});  // 15 rows
  // Four gates, two directions: of 4 + 6 inputs in the first layer, 12 + 6 in the second.
  constexpr std::int64_t kProducts = 15 * 4 * 6 * 2 * ((4 + 6) + (12 + 6));
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(flops_of([&] { lstm(x); }), 2 * kProducts);
}

TEST(FlopCounterTest, AutocastDoesNotCountTwice) {
  torch::nn::Linear linear(5, 7);
  const at::Tensor x = torch::randn({3, 5});
  const bool before = at::autocast::is_autocast_enabled(at::kCPU);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const std::int64_t flops = flops_of([&] {
    const torch::NoGradGuard no_grad;
    at::mm(x, linear->weight.t());
    linear(x);
  });
  at::autocast::set_autocast_enabled(at::kCPU, before);
  at::autocast::clear_cache();
  EXPECT_EQ(flops, 2 * 2 * 3 * 5 * 7);
}

TEST(FlopCounterTest, OtherThreadsAndOtherTimesDoNotCount) {
  const auto product = [] { at::mm(at::ones({2, 3}), at::ones({3, 4})); };
  product();
  EXPECT_EQ(flops_of([&] { std::thread(product).join(); }), 0);
  EXPECT_EQ(flops_of(product), 2 * 2 * 3 * 4);
}

TEST(FlopCounterTest, ElementWiseWorkAndRefusedCallsAreNotCounted) {
  EXPECT_EQ(flops_of([] {
              at::softmax(at::ones({3, 4}), 1).add(1).relu();
              EXPECT_ANY_THROW(at::mm(at::ones({2, 3}), at::ones({4, 4})));
            }),
            0);
  // The one that threw left nothing open.
  EXPECT_EQ(flops_of([] { at::mm(at::ones({2, 3}), at::ones({3, 4})); }), 2 * 2 * 3 * 4);
}

TEST(FlopCounterTest, ThereIsOneAtATime) {
  const FlopCounter counter;
  EXPECT_THROW(const FlopCounter second, Error);
}

}  // namespace
}  // namespace pergola::host
