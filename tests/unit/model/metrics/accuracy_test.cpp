// SPDX-License-Identifier: BSD-3-Clause
#include "unit/model/metrics/metric_helpers.h"
#include "unit/support/error_of.h"
#include "unit/support/non_finite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pergola::host {
namespace {

using test::error_of;
using test::kInf;
using test::kNan;
using ::testing::HasSubstr;

std::string complaint(const std::string& key, const MetricBatch& batch, Value::Table params = {}) {
  const auto metric = make_metric(key, std::move(params));
  return error_of([&] { update(*metric, batch); }, ErrorKind::kData);
}

// MMF's test: seed 2, targets drawn first, then scores, both rand(25, 10): one of 25 is right.
MetricBatch mmfs_batch() {
  torch::manual_seed(2);
  at::Tensor targets = torch::rand({25, 10});
  return {torch::rand({25, 10}), targets};
}

TEST(AccuracyTest, HasMmfsNumber) {
  const auto [scores, targets, texts] = mmfs_batch();
  EXPECT_DOUBLE_EQ(value_of("accuracy", {scores, targets}), 0.04);
  EXPECT_DOUBLE_EQ(value_of("accuracy", {scores, targets.argmax(1)}), 0.04);
  EXPECT_DOUBLE_EQ(value_of("accuracy", {scores.argmax(1), targets.argmax(1)}), 0.04);
  EXPECT_DOUBLE_EQ(value_of("accuracy", {scores, targets}, {{"topk", 5}}), 0.48);
  EXPECT_DOUBLE_EQ(value_of("topk_accuracy", {scores, targets}, {{"k", 5}}), 0.48);
}

TEST(AccuracyTest, ReadsTheFieldsThatItsParamsName) {
  const auto metric =
      make_metric("accuracy", {{"score_key", "answer_scores"}, {"target_key", "answers"}});
  SampleList batch;
  batch.add_field("answers", torch::tensor({0, 2}));
  ModelOutput output;
  output.fields["answer_scores"] = torch::eye(3).slice(0, 0, 2);  // chooses 0 and 1
  metric->update(batch, output);
  EXPECT_DOUBLE_EQ(value_of(*metric), 0.5);
}

TEST(AccuracyTest, BatchesOfAnySizeGiveTheMeanOverSamples) {
  const auto metric = make_metric("accuracy");
  update(*metric, {torch::eye(3), torch::tensor({0, 1, 0})});  // 2 of 3
  update(*metric, {torch::eye(1), torch::tensor({0})});        // 1 of 1
  EXPECT_DOUBLE_EQ(value_of(*metric), 0.75);
}

TEST(AccuracyTest, OfEqualScoresTheLowerClassIsAhead) {
  const at::Tensor equal = torch::zeros({3, 3});
  const at::Tensor classes = torch::tensor({0, 1, 2});
  EXPECT_DOUBLE_EQ(value_of("accuracy", {equal, classes}), 1.0 / 3);
  EXPECT_DOUBLE_EQ(value_of("accuracy", {equal, classes}, {{"topk", 2}}), 2.0 / 3);
  EXPECT_DOUBLE_EQ(value_of("accuracy", {equal, classes}, {{"topk", 9}}), 1);
}

TEST(AccuracyTest, InfiniteScoresAreOrderedLikeOthers) {
  const at::Tensor scores = torch::tensor({{0.0, kInf}, {-kInf, -5.0}, {-kInf, 0.0}});
  EXPECT_DOUBLE_EQ(value_of("accuracy", {scores, torch::tensor({1, 1, 0})}), 2.0 / 3);
}

TEST(AccuracyTest, SampleThatChoosesNothingIsCountedAndNeverRight) {
  // A NaN in the target's place, a NaN elsewhere, all classes masked; one that is right.
  const at::Tensor scores = torch::tensor({{kNan, 0.0}, {1.0, kNan}, {-kInf, -kInf}, {1.0, 0.0}});
  const at::Tensor zeros = torch::zeros({4}, torch::kLong);
  EXPECT_DOUBLE_EQ(value_of("accuracy", {scores, zeros}), 0.25);
  EXPECT_DOUBLE_EQ(value_of("accuracy", {scores, zeros}, {{"topk", 2}}), 0.25);
}

TEST(AccuracyTest, NumberThatIsNoClassIsNeverRight) {
  const at::Tensor classes = torch::tensor({0, -1, 3, -100});
  EXPECT_DOUBLE_EQ(value_of("accuracy", {torch::tensor({{1.0, 0.0, 0.0}}).expand({4, 3}), classes},
                            {{"topk", 3}}),
                   0.25);
}

TEST(VqaAccuracyTest, TakesTheSoftScoreAndNeverUnk) {
  // Row 0: <unk> scores highest, answer 2 next, worth 0.6. Row 1: answer 1, worth 1.
  EXPECT_NEAR(value_of("vqa_accuracy", {torch::tensor({{9.0, 1.0, 2.0}, {0.0, 3.0, 2.0}}),
                                        torch::tensor({{0.0, 0.3, 0.6}, {0.0, 1.0, 0.0}})}),
              0.8, 1e-7);
}

TEST(VqaAccuracyTest, OfSeveralBranchesTheFirstCounts) {
  const at::Tensor first = torch::tensor({{9.0, 1.0, 2.0}});
  const at::Tensor targets = torch::tensor({{0.0, 0.0, 1.0}});
  EXPECT_DOUBLE_EQ(
      value_of("vqa_accuracy", {at::stack({first, -first, -first}, /*dim=*/1), targets}), 1);
}

TEST(VqaAccuracyTest, SampleThatChoosesNothingIsWorthNothing) {
  // A NaN for an answer, a NaN for <unk>, all answers but <unk> masked; one that is right.
  const at::Tensor scores =
      torch::tensor({{0.0, 1.0, kNan}, {kNan, 1.0, 0.0}, {5.0, -kInf, -kInf}, {0.0, 1.0, 0.0}});
  EXPECT_DOUBLE_EQ(value_of("vqa_accuracy", {scores, torch::ones({4, 3})}), 0.25);
}

TEST(AccuracyTest, ShapesThatDoNotFitAreShown) {
  EXPECT_EQ(complaint("accuracy", {torch::eye(3), torch::tensor({0, 1})}),
            "accuracy cannot compare scores [3, 3] ('scores' of the model) with targets [2] "
            "('targets' of the batch); expected scores [batch, classes] of at least 1 class, and "
            "targets of that shape or class numbers [batch]; check the model's last layer and the "
            "data set's processors");
  EXPECT_THAT(complaint("accuracy", {torch::rand({2, 3, 4}), torch::tensor({0, 1})}),
              HasSubstr("scores [2, 3, 4]"));
  EXPECT_THAT(complaint("accuracy", {torch::rand({2, 3}), torch::rand({2, 4})}),
              HasSubstr("targets [2, 4]"));
  EXPECT_THAT(
      complaint("topk_accuracy", {torch::tensor({0, 1}), torch::tensor({0, 1})}, {{"k", 2}}),
      HasSubstr("topk_accuracy cannot compare scores [2]"));
}

TEST(AccuracyTest, MissingScoresAreNamedWithWhatThereIs) {
  SampleList batch;
  batch.add_field("targets", torch::tensor({0}));
  ModelOutput output;
  output.scores = torch::eye(1);
  output.fields["pooled"] = torch::eye(1);
  const auto metric = make_metric("accuracy", {{"score_key", "answer_scores"}});
  EXPECT_EQ(error_of([&] { metric->update(batch, output); }, ErrorKind::kData),
            "accuracy needs 'answer_scores' of the model's output, which has scores, pooled; let "
            "forward() return it, or choose another metric");
  EXPECT_EQ(error_of([&] { make_metric("accuracy")->update(batch, {}); }, ErrorKind::kData),
            "accuracy needs 'scores' of the model's output, which has nothing; let forward() "
            "return it, or choose another metric");
}

TEST(VqaAccuracyTest, ClassNumbersAreRefused) {
  EXPECT_EQ(complaint("vqa_accuracy", {torch::eye(3), torch::tensor({0, 1, 2})}),
            "vqa_accuracy cannot compare scores [3, 3] with targets [3]; expected scores [batch, "
            "answers] or [batch, branches, answers] with <unk> as answer 0, and soft targets "
            "[batch, answers]; check the answer processor");
}

TEST(AccuracyTest, ParamsAreCheckedBeforehand) {
  EXPECT_THAT(error_of([&] { make_metric("accuracy", {{"topk", 0}}); }), HasSubstr("at least 1"));
  EXPECT_THAT(error_of([&] { make_metric("topk_accuracy"); }), HasSubstr("k"));
}

}  // namespace
}  // namespace pergola::host
