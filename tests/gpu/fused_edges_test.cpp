// SPDX-License-Identifier: BSD-3-Clause
// The operators of pergola/ops.h where addresses fit no vector, rows lie apart, or nothing is
// there.
#include "gpu/fused_ops_fixture.h"
#include "pergola/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

namespace pergola::host {
namespace {

double linear_bound(at::ScalarType type) { return type == at::kFloat ? 1e-5 : bound_of(type); }

TEST_P(FusedOpsTest, ProjectionsTakeAnyAddressAndOrder) {
  const auto apply = [](auto op) {
    return [op](const Tensors& x) {
      // [K, N, T] → [N, T, K], whose last dimension is not the dense one
      return at::cat(op(x[0].permute({1, 2, 0}), Tensors{x[1], x[2]}, Tensors{x[3], x[4]}), -1);
    };
  };
  for (const std::int64_t offset : {1, 3}) {
    SCOPED_TRACE(offset);
    expect_alike({leaf({64, 3, 50}, offset), leaf({48, 64}, offset), leaf({48, 64}, offset),
                  leaf({48}, offset), leaf({48}, offset)},
                 apply(ops::projections), apply(ops::unfused::projections),
                 linear_bound(GetParam()));
  }
}

TEST_P(FusedOpsTest, FeedForwardTakesAnyAddressAndOrder) {
  const auto apply = [](auto op) {
    return [op](const Tensors& x) {
      return op(x[0].transpose(0, 1), x[1], x[2], x[3], x[4], ops::Gelu::kTanh);
    };
  };
  for (const std::int64_t offset : {1, 3}) {
    SCOPED_TRACE(offset);
    expect_alike({leaf({64, 70}, offset), leaf({96, 64}, offset), leaf({96}, offset),
                  leaf({40, 96}, offset), leaf({40}, offset)},
                 apply(ops::feed_forward), apply(ops::unfused::feed_forward),
                 linear_bound(GetParam()));
  }
}

// Widths that no vector divides, and such that it does, both at addresses that are none of its own.
TEST_P(FusedOpsTest, LinearLayersTakeOddWidths) {
  const auto project = [](auto op) {
    return [op](const Tensors& x) {
      return at::cat(op(x[0], Tensors{x[1], x[2]}, Tensors{x[3], x[4]}), -1);
    };
  };
  const auto feed = [](auto op) {
    return [op](const Tensors& x) { return op(x[0], x[1], x[2], x[3], x[4], ops::Gelu::kTanh); };
  };
  for (const std::int64_t offset : {0, 1}) {
    for (const auto& [inputs, outputs] :
         {std::pair<std::int64_t, std::int64_t>(61, 37), {64, 37}, {61, 40}}) {
      SCOPED_TRACE(testing::Message() << inputs << " to " << outputs << ", offset " << offset);
      expect_alike(
          {leaf({7, 11, inputs}, offset), leaf({outputs, inputs}, offset),
           leaf({outputs, inputs}, offset), leaf({outputs}, offset), leaf({outputs}, offset)},
          project(ops::projections), project(ops::unfused::projections), linear_bound(GetParam()));
      expect_alike(
          {leaf({7, 11, inputs}, offset), leaf({outputs, inputs}, offset), leaf({outputs}, offset),
           leaf({inputs, outputs}, offset), leaf({inputs}, offset)},
          feed(ops::feed_forward), feed(ops::unfused::feed_forward), linear_bound(GetParam()));
    }
  }
}

// Tables, weights and gradients that begin one number behind an aligned address.
TEST_P(FusedOpsTest, EmbeddingsTakeAnyAddress) {
  for (const std::int64_t width : {64, 33}) {
    SCOPED_TRACE(width);
    const at::Tensor words = torch::arange(90).remainder(20);
    const at::Tensor some = at::where(torch::arange(90).remainder(4).eq(0), -1, words);
    const auto apply = [&](auto op) {
      return [&, op](const Tensors& x) {
        const c10::Device device = x[0].device();
        return op(Tensors{x[0], x[1]}, Tensors{words.to(device), some.to(device)}, x[2], x[3], 0.0,
                  1e-12);
      };
    };
    expect_alike({leaf({20, width}, 1), leaf({20, width}, 1), leaf({width}, 1), leaf({width}, 1)},
                 apply(ops::embedding_layer_norm), apply(ops::unfused::embedding_layer_norm),
                 bound_of(GetParam()));
  }
}

TEST_P(FusedOpsTest, RowsAreCopiedFromAnyAddressAndOrder) {
  const at::Tensor rows = torch::tensor({4, -1, 0, 2, -1}, at::kLong);
  const auto gather = [&](const at::Tensor& x) { return ops::gather_rows(x, rows.to(x.device())); };
  const auto scatter = [&](const at::Tensor& x) {
    return ops::scatter_rows(x, rows.to(x.device()), 6);
  };
  const auto plain = [](auto copy) { return [copy](const Tensors& x) { return copy(x[0]); }; };
  const auto turned = [](auto copy) { return [copy](const Tensors& x) { return copy(x[0].t()); }; };
  for (const std::int64_t width : {24, 7, 1}) {
    for (const std::int64_t offset : {1, 3}) {
      SCOPED_TRACE(testing::Message() << "width " << width << ", offset " << offset);
      expect_alike({leaf({6, width}, offset)}, plain(gather), plain(gather), 0);
      expect_alike({leaf({5, width}, offset)}, plain(scatter), plain(scatter), 0);
      expect_alike({leaf({width, 6}, offset)}, turned(gather), turned(gather), 0);
      expect_alike({leaf({width, 5}, offset)}, turned(scatter), turned(scatter), 0);
    }
  }
}

TEST_P(FusedOpsTest, NothingGivesNothingAndGradientsOfZero) {
  const at::TensorOptions numbers = at::TensorOptions(at::kLong).device(device_);
  const at::Tensor weight = leaf({24, 16});
  const at::Tensor back = leaf({8, 24});
  const at::Tensor forward =
      ops::feed_forward(leaf({0, 5, 16}), weight, leaf({24}), back, leaf({8}), ops::Gelu::kErf);
  EXPECT_EQ(forward.sizes(), (at::IntArrayRef{0, 5, 8}));
  forward.sum().backward();
  EXPECT_EQ(weight.grad().abs().sum().item<double>(), 0);

  const at::Tensor table = leaf({30, 16});
  const at::Tensor embedded = ops::embedding_layer_norm({table}, {torch::empty({0}, numbers)},
                                                        leaf({16}), leaf({16}), 0.1, 1e-12);
  EXPECT_EQ(embedded.sizes(), (at::IntArrayRef{0, 16}));
  embedded.sum().backward();
  EXPECT_EQ(table.grad().abs().sum().item<double>(), 0);

  const at::Tensor side = leaf({8, 16});
  const Tensors projected =
      ops::projections(leaf({0, 5, 16}), {side, weight}, {leaf({8}), leaf({24})});
  EXPECT_EQ(projected[0].sizes(), (at::IntArrayRef{0, 5, 8}));
  EXPECT_EQ(projected[1].sizes(), (at::IntArrayRef{0, 5, 24}));
  (projected[0].sum() + projected[1].sum()).backward();
  EXPECT_EQ(side.grad().abs().sum().item<double>(), 0);
}

// Of no rows, and of rows that are all nowhere.
TEST_P(FusedOpsTest, CopiesOfNoRowsAreNothingAndHaveGradientsOfZero) {
  const at::TensorOptions numbers = at::TensorOptions(at::kLong).device(device_);
  for (const std::int64_t count : {0, 5}) {
    SCOPED_TRACE(count);
    const at::Tensor nowhere = torch::full({count}, -1, numbers);
    const at::Tensor from = leaf({7, 16});
    const at::Tensor gathered = ops::gather_rows(from, nowhere);
    EXPECT_EQ(gathered.sizes(), (at::IntArrayRef{count, 16}));
    EXPECT_EQ(gathered.abs().sum().item<double>(), 0);
    gathered.sum().backward();
    EXPECT_EQ(from.grad().abs().sum().item<double>(), 0);
    const at::Tensor rows = leaf({count, 16});
    const at::Tensor scattered = ops::scatter_rows(rows, nowhere, 4);
    EXPECT_EQ(scattered.sizes(), (at::IntArrayRef{4, 16}));
    EXPECT_EQ(scattered.abs().sum().item<double>(), 0);
    scattered.sum().backward();
    EXPECT_EQ(rows.grad().sizes(), rows.sizes());
    EXPECT_EQ(rows.grad().abs().sum().item<double>(), 0);
  }
}

TEST_P(FusedOpsTest, LossesOfNothingAreNoNumberOrZero) {
  const at::Tensor logits = leaf({0, 3});
  const at::Tensor bce = ops::bce_with_logits(logits, torch::empty({0, 3}, logits.options()));
  EXPECT_TRUE(std::isnan(bce.item<double>()));
  bce.backward();
  EXPECT_EQ(logits.grad().sizes(), logits.sizes());
  const at::Tensor none = torch::empty({0}, at::TensorOptions(at::kLong).device(device_));
  for (const ops::EmptyMean empty : {ops::EmptyMean::kNan, ops::EmptyMean::kZero}) {
    const at::Tensor scores = leaf({0, 3});
    const at::Tensor loss = ops::cross_entropy(scores, none, -1, empty);
    if (empty == ops::EmptyMean::kNan) {
      EXPECT_TRUE(std::isnan(loss.item<double>()));
    } else {
      EXPECT_EQ(loss.item<double>(), 0);
    }
    loss.backward();
    EXPECT_EQ(scores.grad().sizes(), scores.sizes());
  }
}

}  // namespace
}  // namespace pergola::host
