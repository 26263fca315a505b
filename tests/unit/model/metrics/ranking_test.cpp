// SPDX-License-Identifier: BSD-3-Clause
#include "unit/model/metrics/metric_helpers.h"
#include "unit/support/error_of.h"
#include "unit/support/non_finite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using test::error_of;
using test::kInf;
using test::kNan;
using ::testing::HasSubstr;

TEST(RankingTest, HasMmfsNumbersOfAHundredCandidates) {
  // MMF's test: the right candidate is the last one. In row 0 its score is the highest; in row
  // i > 0 it is 193 - 2 i, below the 2 j of the candidates 97 - i to 98, so its rank is i + 3.
  at::Tensor scores = 2 * at::arange(100, torch::kFloat).repeat({10, 1});
  for (std::int64_t row = 1; row < 10; ++row) scores[row][99] = 2 * 99 - 1 - (row + 2) * 2;
  const MetricBatch batch{scores, at::arange(100, torch::kFloat).repeat({10, 1})};
  EXPECT_DOUBLE_EQ(value_of("r@1", batch), 0.1);
  EXPECT_DOUBLE_EQ(value_of("r@5", batch), 0.3);
  EXPECT_DOUBLE_EQ(value_of("r@10", batch), 0.8);
}

TEST(RankingTest, RanksOfAFewCandidatesByHand) {
  // Ranks 1, 3 and 2: their mean is 2, that of 1 / rank (1 + 1/3 + 1/2) / 3 = 11/18.
  const MetricBatch batch{torch::tensor({{3.0, 2.0, 1.0}, {3.0, 2.0, 1.0}, {3.0, 2.0, 1.0}}),
                          torch::tensor({0, 2, 1})};
  EXPECT_DOUBLE_EQ(value_of("mean_r", batch), 2);
  EXPECT_DOUBLE_EQ(value_of("mean_rr", batch), 11.0 / 18);
  EXPECT_DOUBLE_EQ(value_of("r@1", batch), 1.0 / 3);
  EXPECT_DOUBLE_EQ(value_of("r@5", batch), 1);
}

TEST(RankingTest, OfEqualScoresTheLowerCandidateIsAhead) {
  const MetricBatch batch{torch::zeros({2, 4}), torch::tensor({0, 3})};  // ranks 1 and 4
  EXPECT_DOUBLE_EQ(value_of("mean_r", batch), 2.5);
  EXPECT_DOUBLE_EQ(value_of("r@1", batch), 0.5);
}

TEST(RankingTest, NumberOfCandidatesMayChangeFromBatchToBatch) {
  const auto metric = make_metric("mean_r");
  update(*metric, {torch::tensor({{2.0, 1.0}}), torch::tensor({1})});                     // rank 2
  update(*metric, {torch::tensor({{4.0, 3.0, 2.0, 1.0}}), torch::tensor({3})});           // rank 4
  update(*metric, {torch::tensor({{1.0, 2.0, 3.0}}), torch::tensor({{0.0, 0.0, 1.0}})});  // rank 1
  EXPECT_DOUBLE_EQ(value_of(*metric), 7.0 / 3);
}

TEST(RankingTest, SampleWithoutARankIsInfinitelyFarBehind) {
  // A NaN, all masked, a number that is no candidate; one of rank 1.
  const MetricBatch batch{torch::tensor({{kNan, 1.0}, {-kInf, -kInf}, {1.0, 0.0}, {1.0, 0.0}}),
                          torch::tensor({1, 0, 7, 0})};
  EXPECT_DOUBLE_EQ(value_of("r@1", batch), 0.25);
  EXPECT_DOUBLE_EQ(value_of("r@10", batch), 0.25);
  EXPECT_DOUBLE_EQ(value_of("mean_rr", batch), 0.25);
  EXPECT_EQ(value_of("mean_r", batch), kInf);
}

TEST(RankingTest, ShapesThatDoNotFitNameTheMetric) {
  const auto metric = make_metric("mean_rr");
  EXPECT_THAT(error_of(
                  [&] {
                    update(*metric, {torch::rand({2, 3}), torch::rand({2, 4})});
                  },
                  ErrorKind::kData),
              HasSubstr("mean_rr cannot compare scores [2, 3]"));
}

// Similarities of images 0, 1 (rows) and texts (columns), as embeddings: images are unit vectors,
// so a text's embedding is its column.
MetricBatch retrieval_batch(const at::Tensor& similarity) {
  return {at::eye(similarity.size(0)), at::zeros({similarity.size(0)}), similarity.t()};
}

TEST(RetrievalTest, HasMmfsNumbers) {
  torch::manual_seed(1234);
  const at::Tensor targets = torch::rand({10, 4});
  const MetricBatch batch{torch::rand({10, 4}), at::zeros({10}), targets};
  EXPECT_DOUBLE_EQ(value_of("r@1_retrieval", batch), 0.1);
  EXPECT_DOUBLE_EQ(value_of("r@5_retrieval", batch), 0.4);
  EXPECT_DOUBLE_EQ(value_of("r@10_retrieval", batch), 1.0);
}

TEST(RetrievalTest, AnyCaptionOfAnImageCountsAndEachCaptionSearchesItsImage) {
  // Two captions an image. Image 0 has texts 0, 1: its best is text 1, ahead of all. Image 1 has
  // texts 2, 3: text 0 is ahead of both. Of the texts 0, 1, 2, 3 the first and third find the other
  // image nearer.
  const MetricBatch batch =
      retrieval_batch(torch::tensor({{1.0f, 9.0f, 5.0f, 2.0f}, {7.0f, 0.0f, 3.0f, 6.0f}}));
  EXPECT_DOUBLE_EQ(value_of("r@1_retrieval", batch), 0.5);
  EXPECT_DOUBLE_EQ(value_of("r@k_retrieval", batch, {{"k", 2}}), 1);
  EXPECT_DOUBLE_EQ(value_of("r@1_rev_retrieval", batch), 0.5);
  EXPECT_DOUBLE_EQ(value_of("r@5_rev_retrieval", batch), 1);
}

TEST(RetrievalTest, EqualSimilaritiesFindNothing) {
  const MetricBatch batch = retrieval_batch(torch::ones({3, 3}));
  EXPECT_DOUBLE_EQ(value_of("r@1_retrieval", batch), 0);
  EXPECT_DOUBLE_EQ(value_of("r@k_retrieval", batch, {{"k", 2}}), 0);
  EXPECT_DOUBLE_EQ(value_of("r@1_rev_retrieval", batch), 0);
  EXPECT_DOUBLE_EQ(value_of("r@5_retrieval", batch), 1);  // 5 of 3 texts
}

TEST(RetrievalTest, SampleThatIsNotANumberFindsNothingAndStandsInTheWay) {
  // Image 1 is NaN, so its own similarities are, and those of each text with it.
  MetricBatch batch{at::eye(3), at::zeros({3}), at::eye(3)};
  batch.scores[1] = kNan;
  EXPECT_DOUBLE_EQ(value_of("r@1_retrieval", batch), 2.0 / 3);
  EXPECT_DOUBLE_EQ(value_of("r@10_retrieval", batch), 2.0 / 3);
  EXPECT_DOUBLE_EQ(value_of("r@1_rev_retrieval", batch), 0);
  EXPECT_DOUBLE_EQ(value_of("r@5_rev_retrieval", batch), 2.0 / 3);
}

TEST(RetrievalTest, TextsThatDoNotFitAreShown) {
  const auto metric = make_metric("r@1_retrieval");
  const auto complaint = [&](const at::Tensor& images, const at::Tensor& texts) {
    return error_of(
        [&] {
          update(*metric, {images, at::zeros({images.size(0)}), texts});
        },
        ErrorKind::kData);
  };
  EXPECT_EQ(complaint(torch::rand({2, 4}), torch::rand({3, 4})),
            "r@1_retrieval cannot compare images [2, 4] ('scores' of the model) with texts [3, 4] "
            "(its 'targets'); expected [images, width] and [images * captions, width]; check what "
            "forward() returns");
  EXPECT_THAT(complaint(torch::rand({2, 4}), torch::rand({2, 5})), HasSubstr("texts [2, 5]"));
  EXPECT_EQ(complaint(torch::rand({2, 4}), at::Tensor()),
            "r@1_retrieval needs 'targets' of the model's output, which has scores; let forward() "
            "return it, or choose another metric");
}

TEST(RetrievalTest, NumberOfCaptionsMustNotChange) {
  const auto metric = make_metric("r@1_rev_retrieval");
  const auto other = make_metric("r@1_rev_retrieval");
  update(*metric, {torch::rand({2, 4}), at::zeros({2}), torch::rand({4, 4})});
  update(*other, {torch::rand({2, 4}), at::zeros({2}), torch::rand({2, 4})});
  const std::string sentence =
      "r@1_rev_retrieval has seen 2 captions for each image so far, and now 1; give each image of "
      "the split as many";
  EXPECT_EQ(error_of([&] { metric->merge(*other); }, ErrorKind::kData), sentence);
  EXPECT_EQ(error_of(
                [&] {
                  update(*metric, {torch::rand({2, 4}), at::zeros({2}), torch::rand({2, 4})});
                },
                ErrorKind::kData),
            sentence);
}

TEST(RetrievalTest, EmbeddingsAreCopiedSinceAModelMayWriteIntoItsOutput) {
  const auto metric = make_metric("r@1_retrieval");
  const MetricBatch batch{at::eye(2), at::zeros({2}), at::eye(2)};
  update(*metric, batch);
  batch.scores.zero_();
  batch.texts.zero_();
  EXPECT_DOUBLE_EQ(value_of(*metric), 1);
}

TEST(RetrievalTest, KIsRequired) {
  EXPECT_THAT(error_of([] { make_metric("r@k_retrieval"); }), HasSubstr("k"));
}

}  // namespace
}  // namespace pergola::host
