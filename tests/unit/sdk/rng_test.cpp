// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace pergola {
namespace {

TEST(RngTest, TheSameWordsGiveTheSameNumbers) {
  Rng a(1, 2, 3);
  Rng b(1, 2, 3);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
}

TEST(RngTest, EachWordCounts) {
  const std::uint64_t first = Rng(1, 2, 3).next();
  EXPECT_NE(first, Rng(2, 2, 3).next());
  EXPECT_NE(first, Rng(1, 3, 3).next());
  EXPECT_NE(first, Rng(1, 2, 4).next());
  EXPECT_NE(Rng(1, 2).next(), Rng(2, 1).next());
}

TEST(RngTest, UniformFillsTheUnitInterval) {
  Rng rng(7);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double x = rng.uniform();
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    sum += x;
  }
  // The mean of 10,000 uniform numbers has a standard deviation of 0.0029; this is seven of them.
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

TEST(RngTest, PermutationHasEachNumberOnceAndDependsOnSeedAndStream) {
  std::vector<std::int64_t> sorted = permutation(1000, 5, 1);
  const std::vector<std::int64_t> same = permutation(1000, 5, 1);
  EXPECT_EQ(sorted, same);
  EXPECT_NE(sorted, permutation(1000, 5, 2));
  EXPECT_NE(sorted, permutation(1000, 6, 1));
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
}

TEST(RngTest, PermutationOfNothingAndOfOne) {
  EXPECT_TRUE(permutation(0, 1, 1).empty());
  EXPECT_EQ(permutation(1, 1, 1), std::vector<std::int64_t>{0});
}

TEST(RngTest, EveryOrderOfThreeIsAboutAsLikely) {
  std::map<std::vector<std::int64_t>, int> counts;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) ++counts[permutation(3, seed, 0)];
  ASSERT_EQ(counts.size(), 6U);
  // 1000 expected; the standard deviation is sqrt(6000 * 1/6 * 5/6) = 29.
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, 1000, 150);
}

}  // namespace
}  // namespace pergola
