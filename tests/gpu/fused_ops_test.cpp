// SPDX-License-Identifier: BSD-3-Clause
// The operators of pergola/ops.h with kernels of ours, against their unfused forms in double
// precision on the CPU: results and gradients, at sizes that fit no vector and addresses that begin
// nowhere in particular.
#include "gpu/fused_ops_fixture.h"
#include "pergola/ops.h"

#include <ATen/autocast_mode.h>

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

// Widths: packs of one warp, BERT's, of which no pack is left over, large, one, odd.
TEST_P(FusedOpsTest, AddLayerNormIsThatOfTheCpu) {
  for (const std::int64_t width : {8, 128, 768, 1000, 1024, 2048, 1, 13, 2100}) {
    for (const std::int64_t offset : {0, 1}) {
      SCOPED_TRACE(testing::Message() << "width " << width << ", offset " << offset);
      const auto apply = [](auto op) {
        return [op](const Tensors& x) { return op(x[0], x[1], x[2], x[3], 0.0, 1e-5); };
      };
      // A row of one number is 0 whatever it was, and so is its gradient.
      const Tensors leaves = {leaf({7, 5, width}, offset), leaf({7, 5, width}, offset),
                              leaf({width}, offset), leaf({width}, offset)};
      if (width == 1) {
        EXPECT_LE(distance(ops::dropout_add_layer_norm(leaves[0], leaves[1], leaves[2], leaves[3],
                                                       0, 1e-5),
                           leaves[3].detach().to(at::kCPU, at::kDouble).expand({7, 5, 1})),
                  1e-6);
        continue;
      }
      expect_alike(leaves, apply(ops::dropout_add_layer_norm),
                   apply(ops::unfused::dropout_add_layer_norm), bound_of(GetParam()));
    }
  }
}

TEST_P(FusedOpsTest, LayerNormTakesOneInput) {
  const auto apply = [](auto op) {
    return [op](const Tensors& x) { return op(x[0], std::nullopt, x[1], x[2], 0.0, 1e-12); };
  };
  expect_alike({leaf({300, 768}), leaf({768}), leaf({768})}, apply(ops::dropout_add_layer_norm),
               apply(ops::unfused::dropout_add_layer_norm), bound_of(GetParam()));
}

// More rows than all blocks have at once.
TEST_P(FusedOpsTest, AddLayerNormTakesManyRows) {
  const auto apply = [](auto op) {
    return [op](const Tensors& x) { return op(x[0], x[1], x[2], x[3], 0.0, 1e-5); };
  };
  expect_alike({leaf({20000, 64}), leaf({20000, 64}), leaf({64}), leaf({64})},
               apply(ops::dropout_add_layer_norm), apply(ops::unfused::dropout_add_layer_norm),
               bound_of(GetParam()));
}

TEST_P(FusedOpsTest, NothingIsTakenForNothing) {
  const at::Tensor x = leaf({0, 16});
  const at::Tensor y = ops::dropout_add_layer_norm(x, x, leaf({16}), leaf({16}), 0.1, 1e-5);
  EXPECT_EQ(y.sizes(), x.sizes());
  y.sum().backward();
  EXPECT_EQ(ops::projections(x, {leaf({8, 16})}, {leaf({8})})[0].sizes(), (at::IntArrayRef{0, 8}));
}

// What the gradient says was kept is what the forward pass kept; a tenth, and 1 / 0.9 times as
// large. With a width of packs and without.
TEST_P(FusedOpsTest, DropoutComesBeforeTheSum) {
  for (const std::int64_t width : {768, 100, 97}) {
    const Tensors leaves = {leaf({400, width}), leaf({400, width}), leaf({width}), leaf({width})};
    const at::Tensor y =
        ops::dropout_add_layer_norm(leaves[0], leaves[1], leaves[2], leaves[3], 0.1, 1e-5);
    y.backward(torch::randn_like(y));
    const at::Tensor kept = leaves[0].grad().ne(0).to(at::kCPU, at::kDouble);
    EXPECT_NEAR(kept.mean().item<double>(), 0.9, 0.01);
    Tensors doubles;
    for (const at::Tensor& each : leaves) {
      doubles.push_back(each.detach().to(at::kCPU, at::kDouble));
    }
    // 0.1 is 6554 of 65536.
    const at::Tensor expected =
        ops::unfused::dropout_add_layer_norm(doubles[0] * kept * (65536.0 / (65536 - 6554)),
                                             doubles[1], doubles[2], doubles[3], 0, 1e-5);
    EXPECT_LE(distance(y, expected), bound_of(GetParam())) << width;
    const at::Tensor ratio =
        leaves[0].grad().to(at::kDouble).abs().sum() /
        (leaves[1].grad().to(at::kDouble).abs() * leaves[0].grad().ne(0)).sum();
    EXPECT_NEAR(ratio.item<double>(), 65536.0 / (65536 - 6554), 0.005) << width;
  }
}

TEST_P(FusedOpsTest, DropoutDiffersFromCallToCallAndComesBackWithTheSeed) {
  const at::Tensor x = torch::ones({64, 768}, at::TensorOptions(GetParam()).device(device_));
  const at::Tensor residual = torch::randn_like(x);
  const at::Tensor one = torch::ones({768}, device_);
  const auto run = [&] { return ops::dropout_add_layer_norm(x, residual, one, one, 0.5, 1e-5); };
  torch::manual_seed(7);
  const at::Tensor first = run();
  const at::Tensor second = run();
  EXPECT_FALSE(first.equal(second));
  torch::manual_seed(7);
  EXPECT_TRUE(run().equal(first));
  EXPECT_TRUE(run().equal(second));
}

TEST_P(FusedOpsTest, EmbeddingLayerNormIsThatOfTheCpu) {
  for (const std::int64_t width : {768, 33}) {
    const at::Tensor words = torch::randint(0, 50, {700}, at::kLong);
    const at::Tensor types = at::where(torch::arange(700).lt(400), 0, 1);
    const at::Tensor some =
        at::where(torch::arange(700).remainder(3).eq(0), -1, torch::arange(700).remainder(20));
    const auto apply = [&](auto op, c10::Device device) {
      return [&, op, device](const Tensors& x) {
        const Tensors tables(x.begin(), x.begin() + 3);
        const Tensors rows = {words.to(device), types.to(device), some.to(device)};
        return op(tables, rows, x[3], x[4], 0.0, 1e-12);
      };
    };
    expect_alike(
        {leaf({50, width}), leaf({2, width}), leaf({20, width}), leaf({width}), leaf({width})},
        apply(ops::embedding_layer_norm, device_),
        apply(ops::unfused::embedding_layer_norm, c10::Device(c10::kCPU)), bound_of(GetParam()));
  }
}

// The gradient of the bias adds up what the mask left.
TEST_P(FusedOpsTest, DropoutComesAfterTheEmbeddings) {
  const at::Tensor table = leaf({30, 64});
  const at::Tensor weight = leaf({64});
  const at::Tensor bias = leaf({64});
  const at::Tensor rows =
      torch::randint(0, 30, {500}, at::TensorOptions(at::kLong).device(device_));
  const at::Tensor y = ops::embedding_layer_norm({table}, {rows}, weight, bias, 0.25, 1e-12);
  y.backward(torch::ones_like(y));
  const at::Tensor kept = y.ne(0).to(at::kDouble);
  EXPECT_NEAR(kept.mean().item<double>(), 0.75, 0.02);
  EXPECT_LE(distance(bias.grad(), (kept.sum(0) / 0.75).to(at::kCPU)), bound_of(GetParam()));
}

TEST_P(FusedOpsTest, ProjectionsAreThoseOfTheCpu) {
  // 60, and matrices of two shapes, take the unfused way.
  for (const auto& [width, other] :
       {std::pair<std::int64_t, std::int64_t>(64, 48), {768, 48}, {60, 48}, {64, 16}}) {
    const auto apply = [](auto op) {
      return [op](const Tensors& x) {
        return at::cat(op(x[0], Tensors{x[1], x[2]}, Tensors{x[3], x[4]}), -1);
      };
    };
    expect_alike(
        {leaf({3, 50, width}), leaf({48, width}), leaf({other, width}), leaf({48}), leaf({other})},
        apply(ops::projections), apply(ops::unfused::projections),
        GetParam() == at::kFloat ? 1e-5 : bound_of(GetParam()));
  }
}

TEST_P(FusedOpsTest, FeedForwardIsThatOfTheCpu) {
  for (const ops::Gelu form : {ops::Gelu::kErf, ops::Gelu::kTanh}) {
    const auto apply = [form](auto op) {
      return [op, form](const Tensors& x) { return op(x[0], x[1], x[2], x[3], x[4], form); };
    };
    expect_alike({leaf({4, 33, 128}), leaf({512, 128}), leaf({512}), leaf({128, 512}), leaf({128})},
                 apply(ops::feed_forward), apply(ops::unfused::feed_forward),
                 GetParam() == at::kFloat ? 1e-5 : bound_of(GetParam()));
  }
}

TEST_P(FusedOpsTest, RowsAreGatheredAndScattered) {
  const at::Tensor rows = torch::tensor({4, -1, 0, 2, -1}, at::kLong);
  const auto gather = [&](const Tensors& x) {
    return ops::gather_rows(x[0], rows.to(x[0].device()));
  };
  const auto scatter = [&](const Tensors& x) {
    return ops::scatter_rows(x[0], rows.to(x[0].device()), 6);
  };
  for (const std::int64_t width : {24, 7}) {
    expect_alike({leaf({6, width})}, gather, gather, 0);
    expect_alike({leaf({5, width})}, scatter, scatter, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FusedOpsTest, testing::Values(at::kFloat, at::kHalf, at::kBFloat16));

// Under autocast weights stay in float32, results are bfloat16, and so are the gradients of
// activations; those of weights are float32.
class FusedOpsAutocastTest : public OnGpu<> {};

TEST_F(FusedOpsAutocastTest, ResultsAreInItsType) {
  if (IsSkipped()) return;
  const auto parameter = [&](at::IntArrayRef sizes) {
    return torch::randn(sizes, device_).requires_grad_(true);
  };
  const at::Tensor x = parameter({10, 64});
  const at::Tensor weight = parameter({64, 64});
  const at::Tensor bias = parameter({64});
  at::autocast::set_autocast_enabled(at::kCUDA, true);
  at::autocast::set_autocast_dtype(at::kCUDA, at::kBFloat16);
  const at::Tensor projected = ops::projections(x, {weight}, {bias})[0];
  const at::Tensor forward =
      ops::feed_forward(projected, weight, bias, weight, bias, ops::Gelu::kErf);
  const at::Tensor norm = ops::dropout_add_layer_norm(forward, projected, bias, bias, 0.1, 1e-5);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCUDA, false);
  EXPECT_EQ(projected.scalar_type(), at::kBFloat16);
  EXPECT_EQ(forward.scalar_type(), at::kBFloat16);
  EXPECT_EQ(norm.scalar_type(), at::kBFloat16);
  norm.to(at::kFloat).square().sum().backward();
  for (const at::Tensor& leaf : {x, weight, bias}) {
    EXPECT_EQ(leaf.grad().scalar_type(), at::kFloat);
    EXPECT_TRUE(leaf.grad().isfinite().all().item<bool>());
    EXPECT_GT(leaf.grad().abs().max().item<double>(), 0);
  }
}

}  // namespace
}  // namespace pergola::host
