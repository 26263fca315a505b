// SPDX-License-Identifier: BSD-3-Clause
// The operators of pergola/ops.h where addresses fit no vector, rows lie apart, or nothing is
// there.
#include "gpu/fused_ops_fixture.h"
#include "pergola/ops.h"

#include <gtest/gtest.h>

#include <cmath>

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

  const at::Tensor none = torch::empty({0}, numbers);
  EXPECT_EQ(ops::gather_rows(leaf({7, 16}), none).sizes(), (at::IntArrayRef{0, 16}));
  EXPECT_EQ(ops::scatter_rows(leaf({0, 16}), none, 4).abs().sum().item<double>(), 0);
  EXPECT_TRUE(std::isnan(ops::bce_with_logits(leaf({0, 3}), leaf({0, 3})).item<double>()));
}

}  // namespace
}  // namespace pergola::host
