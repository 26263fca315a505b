// SPDX-License-Identifier: BSD-3-Clause
// ops::dot_rows and ops::sum_rows: rows beside few vectors.
#include "gpu/fused_ops_fixture.h"
#include "pergola/ops.h"

#include <ATen/autocast_mode.h>

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

struct Sizes {
  std::int64_t batch;
  std::int64_t rows;
  std::int64_t vectors;
  std::int64_t width;
};

// Fewer packs than a warp has lanes; all that a warp reads at once and one more; Pythia's; rows
// that no tile has left; then what takes the unfused form: five vectors, odd widths.
constexpr Sizes kSizes[] = {{3, 5, 1, 8},     {2, 7, 2, 1032}, {3, 100, 1, 5000}, {2, 33, 3, 264},
                            {1, 16, 4, 2048}, {7, 1, 4, 1024}, {2, 4, 5, 64},     {2, 6, 1, 13}};

TEST_P(FusedOpsTest, RowsAreMultipliedByFewVectors) {
  for (const Sizes& s : kSizes) {
    for (const std::int64_t offset : {0, 1}) {
      SCOPED_TRACE(testing::Message() << s.batch << ' ' << s.rows << ' ' << s.vectors << ' '
                                      << s.width << ", offset " << offset);
      expect_alike(
          {leaf({s.batch, s.rows, s.width}, offset), leaf({s.batch, s.vectors, s.width}, offset)},
          [](const Tensors& x) { return ops::dot_rows(x[0], x[1]); },
          [](const Tensors& x) { return ops::unfused::dot_rows(x[0], x[1]); },
          bound_of(GetParam()));
    }
  }
}

TEST_P(FusedOpsTest, RowsAreSummedWithFewWeights) {
  for (const Sizes& s : kSizes) {
    for (const std::int64_t offset : {0, 1}) {
      SCOPED_TRACE(testing::Message() << s.batch << ' ' << s.rows << ' ' << s.vectors << ' '
                                      << s.width << ", offset " << offset);
      expect_alike(
          {leaf({s.batch, s.rows, s.vectors}, offset), leaf({s.batch, s.rows, s.width}, offset)},
          [](const Tensors& x) { return ops::sum_rows(x[0], x[1]); },
          [](const Tensors& x) { return ops::unfused::sum_rows(x[0], x[1]); },
          bound_of(GetParam()));
    }
  }
}

// Views of other strides, as attention's transposes are.
TEST_P(FusedOpsTest, ThinProductsTakeTransposedOperands) {
  expect_alike(
      {leaf({3, 64, 9}), leaf({3, 64, 2})},
      [](const Tensors& x) { return ops::dot_rows(x[0].transpose(1, 2), x[1].transpose(1, 2)); },
      [](const Tensors& x) {
        return ops::unfused::dot_rows(x[0].transpose(1, 2), x[1].transpose(1, 2));
      },
      bound_of(GetParam()));
}

TEST_P(FusedOpsTest, ThinProductsOfNothingAreEmptyOrZero) {
  EXPECT_EQ(ops::dot_rows(leaf({0, 5, 8}), leaf({0, 1, 8})).sizes(), (at::IntArrayRef{0, 5, 1}));
  const at::Tensor none = ops::sum_rows(leaf({2, 0, 1}), leaf({2, 0, 8}));
  EXPECT_EQ(none.sizes(), (at::IntArrayRef{2, 1, 8}));
  EXPECT_EQ(none.abs().sum().item<double>(), 0);
}

TEST_P(FusedOpsTest, ThinProductsFollowAutocast) {
  const at::Tensor x = leaf({4, 10, 64}).detach().to(at::kFloat).requires_grad_(true);
  const at::Tensor weights = leaf({4, 10, 2}).detach().to(at::kFloat).requires_grad_(true);
  at::autocast::set_autocast_enabled(at::kCUDA, true);
  at::autocast::set_autocast_dtype(at::kCUDA, at::kBFloat16);
  const at::Tensor sums = ops::sum_rows(weights, x);
  const at::Tensor dots = ops::dot_rows(x, sums);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCUDA, false);
  EXPECT_EQ(sums.scalar_type(), at::kBFloat16);
  EXPECT_EQ(dots.scalar_type(), at::kBFloat16);
  dots.to(at::kFloat).sum().backward();
  EXPECT_EQ(x.grad().scalar_type(), at::kFloat);
  EXPECT_GT(weights.grad().abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace pergola::host
