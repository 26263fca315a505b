// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/tensor_histogram.h"

#include "unit/support/non_finite.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

namespace pergola::host {
namespace {

using test::kInf;
using test::kNan;
using ::testing::ElementsAre;

double total(const Histogram& histogram) {
  return std::accumulate(histogram.counts.begin(), histogram.counts.end(), 0.0);
}

// 0 to 639 in 64 buckets: each is 639 / 64 = 9.98 wide, and so has ten of them, but for those to
// whose right the next whole number falls into the bucket after: 10 * 64 = 640 in all.
TEST(TensorHistogramTest, CountsInBucketsOfOneWidth) {
  const auto histogram = histogram_of(at::arange(640).to(at::kFloat).reshape({64, 10}));
  ASSERT_TRUE(histogram.has_value());
  EXPECT_EQ(histogram->min, 0);
  EXPECT_EQ(histogram->max, 639);
  EXPECT_EQ(histogram->num, 640);
  EXPECT_EQ(histogram->sum, 639.0 * 640 / 2);
  EXPECT_EQ(histogram->sum_squares, 639.0 * 640 * 1279 / 6);
  ASSERT_EQ(histogram->limits.size(), 64U);
  EXPECT_EQ(histogram->limits[15], 639.0 / 4);
  EXPECT_EQ(histogram->limits.back(), 639);
  ASSERT_EQ(histogram->counts.size(), 64U);
  EXPECT_EQ(histogram->counts.front(), 10);  // 0 to 9
  EXPECT_EQ(total(*histogram), 640);
}

TEST(TensorHistogramTest, NumbersThatAreAllTheSameAreOneBucket) {
  const auto histogram = histogram_of(at::full({3, 4}, 0.5));
  EXPECT_THAT(histogram.value().limits, ElementsAre(0.5));
  EXPECT_THAT(histogram->counts, ElementsAre(12));
}

TEST(TensorHistogramTest, LeavesOutWhatIsNotFinite) {
  const auto histogram = histogram_of(at::tensor({kNan, 1.0, kInf, 3.0, -kInf}));
  EXPECT_EQ(histogram.value().num, 2);
  EXPECT_EQ(histogram->min, 1);
  EXPECT_EQ(histogram->max, 3);
  EXPECT_EQ(total(*histogram), 2);
}

TEST(TensorHistogramTest, WithoutANumberThereIsNone) {
  EXPECT_FALSE(histogram_of(at::empty({0})).has_value());
  EXPECT_FALSE(histogram_of(at::full({3}, kNan)).has_value());
}

// The greatest float32 and its negative are further apart than a float32 can say.
TEST(TensorHistogramTest, RangeMayBeBeyondFloat32) {
  const float most = std::numeric_limits<float>::max();
  const auto histogram = histogram_of(at::tensor({-most, most}));
  EXPECT_EQ(histogram.value().counts.front(), 1);
  EXPECT_EQ(histogram->counts.back(), 1);
}

// Two and a half pieces, in a dtype whose own sums would stop growing at 2^8.
TEST(TensorHistogramTest, LargeTensorIsCountedWhole) {
  constexpr std::int64_t kSize = (std::int64_t{5} << 20) / 2;
  const at::Tensor ones = at::ones({kSize}, at::kBFloat16);
  EXPECT_EQ(histogram_of(ones).value().sum, kSize);
  const auto histogram = histogram_of(at::cat({ones, at::zeros({1}, at::kBFloat16)}));
  EXPECT_EQ(histogram.value().counts.back(), kSize);
  EXPECT_EQ(histogram->counts.front(), 1);
}

TEST(TensorHistogramTest, ReadsAnyLayoutAndLeavesTheGraphAlone) {
  const at::Tensor tensor = at::arange(6).to(at::kFloat).reshape({2, 3}).requires_grad_();
  EXPECT_EQ(histogram_of(tensor.t()).value().sum, 15);
  EXPECT_EQ(histogram_of(tensor.detach().to_sparse()).value().num, 6);
}

}  // namespace
}  // namespace pergola::host
