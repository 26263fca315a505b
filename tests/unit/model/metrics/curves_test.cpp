// SPDX-License-Identifier: BSD-3-Clause
#include "unit/model/metrics/metric_helpers.h"
#include "unit/support/error_of.h"
#include "unit/support/non_finite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace pergola::host {
namespace {

using test::error_of;
using test::kInf;
using test::kNan;
using ::testing::HasSubstr;

// The fixed tensors of MMF's tests.
class CurvesTest : public ::testing::Test {
 protected:
  // Two classes, whose margin is `margins`.
  static MetricBatch two_classes(const at::Tensor& margins, const at::Tensor& targets) {
    return {at::stack({at::zeros_like(margins), margins}, /*dim=*/1), targets};
  }

  MetricBatch binary_{
      torch::tensor({{-.9332, .8149}, {-.8391, .6797}, {-.7235, .7220}, {-.9043, .3078}}),
      torch::tensor({{0, 1}, {1, 0}, {1, 0}, {0, 1}})};
  MetricBatch multiclass_{torch::tensor({{-.9332, .8149, .3491},
                                         {-.8391, .6797, -.3410},
                                         {-.7235, .7220, .9104},
                                         {.9043, .3078, -.4210}}),
                          torch::tensor({1, 2, 0, 2})};
};

TEST_F(CurvesTest, HasMmfsNumbers) {
  EXPECT_NEAR(value_of("macro_roc_auc", binary_), .5, 1e-6);
  EXPECT_NEAR(value_of("macro_roc_auc", multiclass_), .222222, 1e-6);
  EXPECT_NEAR(value_of("roc_auc", multiclass_), .222222, 1e-6);
  EXPECT_NEAR(value_of("micro_roc_auc", binary_), .5, 1e-6);
  EXPECT_NEAR(value_of("micro_roc_auc", multiclass_), .34375, 1e-6);
  EXPECT_NEAR(value_of("binary_ap", binary_), .75, 1e-6);
  EXPECT_NEAR(value_of("micro_ap", binary_), .642857, 1e-6);
  EXPECT_NEAR(value_of("micro_ap", multiclass_), .354166, 1e-6);
}

TEST_F(CurvesTest, RecallAtPrecisionHasMmfsNumbers) {
  const MetricBatch numbers{binary_.scores, torch::tensor({1, 0, 0, 1})};
  for (const MetricBatch& batch : {binary_, numbers}) {
    EXPECT_DOUBLE_EQ(value_of("r@pk", batch, {{"p_threshold", 50}}), 1);
    EXPECT_DOUBLE_EQ(value_of("r@pk", batch, {{"p_threshold", 90}}), .5);
    EXPECT_DOUBLE_EQ(value_of("r@pk", batch, {{"p_threshold", .9}}), .5);
    EXPECT_DOUBLE_EQ(value_of("r@pk", batch, {{"p_threshold", 110}}), 0);
  }
}

TEST_F(CurvesTest, OfEqualScoresHalfIsRight) {
  // Of the two pairs of a positive and a negative one is right and one is tied: 3/4.
  const MetricBatch batch = two_classes(torch::tensor({2.0, 2.0, 1.0}), torch::tensor({1, 0, 0}));
  EXPECT_DOUBLE_EQ(value_of("roc_auc", batch), 0.75);
  // Both of the first threshold pass together: precision 1/2 at recall 1.
  EXPECT_DOUBLE_EQ(value_of("binary_ap", batch), 0.5);
}

TEST_F(CurvesTest, ScoresThatDifferByAShiftAreTied) {
  const MetricBatch batch{torch::tensor({{0.25, 0.75}, {100.25, 100.75}, {0.0, 5.0}}),
                          torch::tensor({1, 0, 0})};
  // Of the two pairs one is tied and one is wrong.
  EXPECT_DOUBLE_EQ(value_of("roc_auc", batch), 0.25);
}

TEST_F(CurvesTest, ConfidentScoresAreToldApart) {
  // Both probabilities are 1 in float32 and in float64.
  const MetricBatch batch = two_classes(torch::tensor({60.0, 50.0}), torch::tensor({1, 0}));
  EXPECT_DOUBLE_EQ(value_of("roc_auc", batch), 1);
}

TEST_F(CurvesTest, OneClassOnlyIsAsWithScikitLearn) {
  const MetricBatch batch = two_classes(torch::tensor({2.0, 1.0}), torch::tensor({0, 0}));
  EXPECT_TRUE(std::isnan(value_of("roc_auc", batch)));
  EXPECT_TRUE(std::isnan(value_of("macro_roc_auc", batch)));
  EXPECT_FALSE(std::isnan(value_of("micro_roc_auc", batch)));
  EXPECT_DOUBLE_EQ(value_of("binary_ap", batch), 0);
  EXPECT_DOUBLE_EQ(value_of("macro_ap", batch), 0.5);  // class 0: 1
  EXPECT_DOUBLE_EQ(value_of("r@pk", batch, {{"p_threshold", 50}}), 0);
}

TEST_F(CurvesTest, ScoresWithoutProbabilitiesGiveNaN) {
  const at::Tensor targets = torch::tensor({0, 1});
  for (const auto& row :
       {torch::tensor({kNan, 0.0}), torch::tensor({kInf, kInf}), torch::tensor({-kInf, -kInf})}) {
    const MetricBatch batch{at::stack({row, torch::tensor({0.0, 1.0})}), targets};
    for (const char* key : {"roc_auc", "micro_roc_auc", "ap", "micro_ap", "binary_ap"}) {
      EXPECT_TRUE(std::isnan(value_of(key, batch))) << key << " of " << row;
    }
    EXPECT_TRUE(std::isnan(value_of("r@pk", batch, {{"p_threshold", 50}}))) << row;
  }
}

TEST_F(CurvesTest, InfiniteScoreHasAllOfTheProbability) {
  const MetricBatch batch{torch::tensor({{0.0, kInf}, {0.0, 90.0}, {kInf, 0.0}}),
                          torch::tensor({1, 0, 0})};
  EXPECT_DOUBLE_EQ(value_of("roc_auc", batch), 1);
  EXPECT_DOUBLE_EQ(value_of("binary_ap", batch), 1);
}

TEST_F(CurvesTest, MaskedClassesHaveAProbabilityOfZero) {
  // Class 0 is masked in the first row, class 1 in the second.
  const MetricBatch batch{torch::tensor({{-kInf, 0.0}, {0.0, -kInf}, {0.0, 0.0}}),
                          torch::tensor({1, 0, 0})};
  EXPECT_DOUBLE_EQ(value_of("roc_auc", batch), 1);
}

TEST_F(CurvesTest, NumberThatIsNoClassIsNegativeForAll) {
  const MetricBatch batch = two_classes(torch::tensor({3.0, 2.0}), torch::tensor({-1, 1}));
  EXPECT_DOUBLE_EQ(value_of("binary_ap", batch), 0.5);
}

TEST_F(CurvesTest, CurvesOfClassOneTakeTwoClasses) {
  for (const char* key : {"binary_ap", "r@pk"}) {
    Value::Table params;
    if (key == std::string("r@pk")) params["p_threshold"] = 50;
    EXPECT_EQ(error_of([&] { update(*make_metric(key, params), multiclass_); }, ErrorKind::kData),
              std::string(key) +
                  " takes two classes, but the model's scores have 3; choose a metric whose name "
                  "begins with macro_ or micro_");
  }
}

TEST_F(CurvesTest, OneColumnIsRefused) {
  const auto metric = make_metric("roc_auc");
  EXPECT_THAT(error_of(
                  [&] {
                    update(*metric, {torch::rand({2, 1}), torch::tensor({0, 1})});
                  },
                  ErrorKind::kData),
              HasSubstr("roc_auc cannot compare scores [2, 1] ('scores' of the model) with targets "
                        "[2] ('targets' of the batch); expected scores [batch, classes] of at "
                        "least 2 classes"));
}

TEST_F(CurvesTest, NumberOfClassesMustNotChange) {
  const auto metric = make_metric("ap");
  const auto other = make_metric("ap");
  update(*metric, binary_);
  update(*other, multiclass_);
  EXPECT_EQ(error_of([&] { metric->merge(*other); }, ErrorKind::kData),
            "ap has seen scores of 2 classes so far, and now of 3; a model's scores must have as "
            "many classes in each batch of a split");
}

TEST_F(CurvesTest, PThresholdIsRequiredAndNotNegative) {
  EXPECT_THAT(error_of([] { make_metric("r@pk"); }), HasSubstr("p_threshold"));
  EXPECT_THAT(error_of([] {
                make_metric("r@pk", {{"p_threshold", -0.1}});
              }),
              HasSubstr("at least 0"));
}

}  // namespace
}  // namespace pergola::host
