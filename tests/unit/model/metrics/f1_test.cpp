// SPDX-License-Identifier: BSD-3-Clause
#include "unit/model/metrics/metric_helpers.h"
#include "unit/support/error_of.h"
#include "unit/support/non_finite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace pergola::host {
namespace {

using test::error_of;
using test::kInf;
using test::kNan;
using ::testing::HasSubstr;

// The fixed tensors of MMF's tests.
class F1Test : public ::testing::Test {
 protected:
  static double child(const std::string& key, const MetricBatch& batch, const std::string& name) {
    const auto metric = make_metric(key);
    update(*metric, batch);
    return metric->compute().at(name);
  }

  MetricBatch binary_{
      torch::tensor({{-.9332, .8149}, {-.8391, .6797}, {-.7235, .7220}, {-.9043, .3078}}),
      torch::tensor({{0, 1}, {1, 0}, {1, 0}, {0, 1}})};
  MetricBatch multiclass_{torch::tensor({{-.9332, .8149, .3491},
                                         {-.8391, .6797, -.3410},
                                         {-.7235, .7220, .9104},
                                         {.9043, .3078, -.4210}}),
                          torch::tensor({1, 2, 0, 2})};
  MetricBatch labels_{multiclass_.scores,
                      torch::tensor({{0, 1, 1}, {1, 0, 1}, {1, 0, 1}, {0, 0, 1}})};
};

TEST_F(F1Test, HasMmfsNumbers) {
  EXPECT_NEAR(value_of("micro_f1", binary_), .5, 1e-6);
  EXPECT_NEAR(value_of("micro_f1", multiclass_), .25, 1e-6);
  EXPECT_NEAR(value_of("macro_f1", binary_), .333333, 1e-6);
  EXPECT_NEAR(value_of("macro_f1", multiclass_), .222222, 1e-6);
  EXPECT_NEAR(value_of("binary_f1", binary_), .666667, 1e-6);
  EXPECT_NEAR(value_of("f1", binary_), .666667, 1e-6);
  EXPECT_NEAR(value_of("multilabel_micro_f1", binary_), .5, 1e-6);
  EXPECT_NEAR(value_of("multilabel_macro_f1", labels_), .355555, 1e-6);
}

TEST_F(F1Test, PrecisionAndRecallAreMmfs) {
  for (const char* name : {"f1", "precision", "recall"}) {
    EXPECT_NEAR(child("micro_f1_precision_recall", binary_, name), .5, 1e-6) << name;
  }
  EXPECT_NEAR(child("macro_f1_precision_recall", binary_, "f1"), .333333, 1e-6);
  EXPECT_NEAR(child("macro_f1_precision_recall", binary_, "precision"), .25, 1e-6);
  EXPECT_NEAR(child("macro_f1_precision_recall", binary_, "recall"), .5, 1e-6);
  EXPECT_NEAR(child("binary_f1_precision_recall", binary_, "f1"), .666667, 1e-6);
  EXPECT_NEAR(child("binary_f1_precision_recall", binary_, "precision"), .5, 1e-6);
  EXPECT_NEAR(child("binary_f1_precision_recall", binary_, "recall"), 1, 1e-6);
}

TEST_F(F1Test, SigmoidOfAHalfRoundsToNoLabel) {
  const MetricBatch batch{torch::tensor({{0.0f, 1e-9f, 0.1f}}), torch::ones({1, 3})};
  // A score of 1e-9 has a sigmoid of 0.5 in float32. One of three labels: recall 1/3, precision 1.
  EXPECT_DOUBLE_EQ(value_of("multilabel_micro_f1", batch), 0.5);
}

TEST_F(F1Test, SoftLabelsAreRoundedLikeScores) {
  const MetricBatch batch{torch::tensor({{5.0, 5.0, 5.0}}), torch::tensor({{0.3, 0.5, 0.6}})};
  EXPECT_DOUBLE_EQ(value_of("multilabel_micro_f1", batch), 0.5);  // 1 of 3 chosen is a target
}

TEST_F(F1Test, SampleThatChoosesNothingIsAMissAndNoFalseAlarm) {
  // Three samples of class 1: a NaN, all masked, one that is right. tp 1, fp 0, fn 2.
  const MetricBatch batch{torch::tensor({{kNan, 9.0}, {-kInf, -kInf}, {0.0, 1.0}}),
                          torch::tensor({1, 1, 1})};
  EXPECT_DOUBLE_EQ(child("binary_f1_precision_recall", batch, "precision"), 1);
  EXPECT_DOUBLE_EQ(child("binary_f1_precision_recall", batch, "recall"), 1.0 / 3);
  EXPECT_DOUBLE_EQ(value_of("micro_f1", batch), 0.5);
}

TEST_F(F1Test, LabelWhoseScoreIsNotANumberIsNotChosen) {
  const MetricBatch batch{torch::tensor({{kNan, kInf, -kInf}}), torch::tensor({{1, 1, 0}})};
  EXPECT_DOUBLE_EQ(value_of("multilabel_micro_f1", batch), 2.0 / 3);  // tp 1, fn 1
}

TEST_F(F1Test, ChoiceForANumberThatIsNoClassIsAFalseAlarm) {
  const MetricBatch batch{torch::tensor({{0.0, 1.0}, {0.0, 1.0}}), torch::tensor({1, -1})};
  EXPECT_DOUBLE_EQ(child("binary_f1_precision_recall", batch, "precision"), 0.5);
  EXPECT_DOUBLE_EQ(child("binary_f1_precision_recall", batch, "recall"), 1);
}

TEST_F(F1Test, NothingChosenAndNothingToFindIsZero) {
  const MetricBatch batch{torch::tensor({{-1.0, -1.0}}), torch::zeros({1, 2})};
  EXPECT_DOUBLE_EQ(value_of("multilabel_micro_f1", batch), 0);
  EXPECT_DOUBLE_EQ(value_of("multilabel_macro_f1", batch), 0);
  EXPECT_DOUBLE_EQ(value_of("multilabel_f1", batch, {{"average", "weighted"}}), 0);
}

TEST_F(F1Test, BinaryAverageTakesTwoClasses) {
  const auto metric = make_metric("f1");
  EXPECT_EQ(
      error_of([&] { update(*metric, multiclass_); }, ErrorKind::kData),
      "f1 with average = \"binary\" takes two classes, but the model's scores have 3; set its "
      "params to {average = \"macro\"}, \"micro\" or \"weighted\"");
  for (const char* key : {"binary_f1", "binary_f1_precision_recall"}) {
    EXPECT_EQ(error_of([&] { update(*make_metric(key), multiclass_); }, ErrorKind::kData),
              std::string(key) +
                  " takes two classes, but the model's scores have 3; choose a metric whose name "
                  "begins with macro_ or micro_");
  }
  const auto one_class = make_metric("binary_f1");
  EXPECT_THAT(error_of(
                  [&] {
                    update(*one_class, {torch::rand({2, 1}), torch::tensor({0, 1})});
                  },
                  ErrorKind::kData),
              HasSubstr("binary_f1 cannot compare scores [2, 1] ('scores' of the model) with "
                        "targets [2] ('targets' of the batch); expected scores [batch, classes] of "
                        "at least 2 classes"));
}

TEST_F(F1Test, NumberOfClassesMustNotChange) {
  const auto metric = make_metric("macro_f1");
  update(*metric, binary_);
  EXPECT_EQ(error_of([&] { update(*metric, multiclass_); }, ErrorKind::kData),
            "macro_f1 has counted 2 classes so far, and now the scores have 3; a model's scores "
            "must have as many classes in each batch of a split");
}

TEST_F(F1Test, UnknownAverageIsRefusedWithTheClosest) {
  EXPECT_THAT(error_of([] {
                make_metric("f1", {{"average", "makro"}});
              }),
              HasSubstr("did you mean 'macro'"));
  EXPECT_THAT(error_of([] {
                make_metric("multilabel_f1", {{"average", "binary"}});
              }),
              HasSubstr("average"));
}

}  // namespace
}  // namespace pergola::host
