// SPDX-License-Identifier: BSD-3-Clause
// What is special to losses of class numbers and of masked steps.
#include "unit/model/losses/loss_test_kit.h"
#include "unit/support/non_finite.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

namespace pergola::host::loss_test {
namespace {

using test::kNan;
using testing::HasSubstr;

class ClassLossesTest : public testing::Test {
 protected:
  static std::string error_with(const std::string& loss, const at::Tensor& scores,
                                const at::Tensor& targets, Value::Table params = {}) {
    return error_of({loss, std::move(params), {{"scores", scores}}, {{"targets", targets}}});
  }

  const at::Tensor scores_ = at::arange(12, at::kFloat).reshape({3, 4}).sin();
  const at::Tensor classes_ = at::tensor({1, 3, 0}, at::kLong);
};

TEST_F(ClassLossesTest, AMisfitSaysWhatWasFoundAndWhatFits) {
  EXPECT_EQ(
      error_with("logit_bce", scores_, at::ones({3, 1})),
      "loss logit_bce: found scores [3, 4] Float and targets [3, 1] Float; expected one shape "
      "[batch, classes, ...]; for class numbers use cross_entropy");
  EXPECT_EQ(
      error_with("softmax_kldiv", scores_, classes_),
      "loss softmax_kldiv: found scores [3, 4] Float and targets [3] Long; expected one shape "
      "[batch, classes]; for class numbers use cross_entropy");
  EXPECT_EQ(
      error_with("triple_logit_bce", at::ones({3, 2, 4}), at::ones({3, 4})),
      "loss triple_logit_bce: found scores [3, 2, 4] Float and targets [3, 4] Float; expected "
      "scores [batch, 3, classes] or [batch, classes], and targets [batch, classes]");
}

TEST_F(ClassLossesTest, ClassNumbersAreIntegersOfAnyWidth) {
  const double expected = value("cross_entropy", scores_, classes_);
  for (const at::ScalarType type : {at::kInt, at::kShort, at::kByte}) {
    EXPECT_EQ(value("cross_entropy", scores_, classes_.to(type)), expected);
  }
}

TEST_F(ClassLossesTest, ClassNumbersAsFloatsAreRefused) {
  const at::Tensor floats = classes_.to(at::kFloat);
  EXPECT_EQ(error_with("label_smoothing_cross_entropy", scores_, floats),
            "loss label_smoothing_cross_entropy: found scores [3, 4] Float and targets [3] Float; "
            "expected scores [batch, classes, ...] and class numbers (integers) [batch, ...]");
  EXPECT_THAT(error_with("cross_entropy", scores_, floats), HasSubstr("targets [3] Float"));
  EXPECT_THAT(error_with("soft_label_cross_entropy", scores_, floats), HasSubstr("[3] Float"));
  EXPECT_THAT(error_with("caption_cross_entropy", scores_.unsqueeze(0), floats.unsqueeze(0)),
              HasSubstr("expected scores [batch, steps, vocabulary] and word numbers (integers)"));
}

TEST_F(ClassLossesTest, SoftTargetsAreToldTheirLosses) {
  const std::string message =
      error_with("label_smoothing_cross_entropy", scores_, at::rand({3, 4}));
  EXPECT_THAT(message, HasSubstr("targets [3, 4] Float; expected "));
  EXPECT_THAT(message, HasSubstr("for soft targets use soft_label_cross_entropy or logit_bce"));
}

TEST_F(ClassLossesTest, AClassThatTheModelDoesNotHaveIsTheDatasFault) {
  const at::Tensor beyond = at::tensor({1, 4, 0}, at::kLong);
  EXPECT_EQ(error_with("cross_entropy", scores_, beyond),
            "loss cross_entropy: Target 4 is out of bounds. The scores are of 4 classes, numbered "
            "from 0 to 3; compare the data set's answers with the model's");
  for (const char* loss : {"soft_label_cross_entropy", "label_smoothing_cross_entropy"}) {
    EXPECT_THAT(error_with(loss, scores_, beyond), HasSubstr("Target 4 is out of bounds")) << loss;
  }
  EXPECT_THAT(error_with("caption_cross_entropy", scores_.unsqueeze(1), beyond.unsqueeze(1)),
              HasSubstr("Target 4 is out of bounds"));
}

TEST_F(ClassLossesTest, OneHotRowsAreTheClassNumbers) {
  const at::Tensor one_hot = at::eye(4).index_select(0, classes_);
  const double expected = value("cross_entropy", scores_, classes_);
  EXPECT_NEAR(value("cross_entropy", scores_, one_hot), expected, 1e-6);
  EXPECT_NEAR(value("soft_label_cross_entropy", scores_, one_hot), expected, 1e-6);
  EXPECT_NEAR(value("nll_loss", at::log_softmax(scores_, 1), one_hot), 4 * expected, 1e-5);
}

TEST_F(ClassLossesTest, AWeightForEachClassIsRequired) {
  EXPECT_EQ(error_with("cross_entropy", scores_, classes_, {{"weight", Value::Array{1.0, 2.0}}}),
            "loss cross_entropy: found scores [3, 4] Float and weight [2] Double; expected one "
            "weight for each of the classes, scores.size(1)");
}

TEST_F(ClassLossesTest, AWeightFollowsTheScoresAndIsNotSaved) {
  const auto loss = make_loss("cross_entropy", {{"weight", Value::Array{1, 2, 3, 4}}});
  EXPECT_TRUE(loss->buffers().empty() && loss->parameters().empty());
  SampleList batch;
  batch.add_field("targets", classes_);
  const double single = loss->compute(batch, {.scores = scores_}).at("").item<double>();
  const at::Tensor again = loss->compute(batch, {.scores = scores_.to(at::kDouble)}).at("");
  EXPECT_NEAR(again.item<double>(), single, 1e-6);
}

TEST_F(ClassLossesTest, AnIgnoredClassNumberWithProbabilitiesIsRefused) {
  EXPECT_EQ(error_with("cross_entropy", scores_, at::rand({3, 4}), {{"ignore_index", 1}}),
            "loss cross_entropy: found targets [3, 4] Float; expected class numbers (integers) "
            "[batch, ...], since ignore_index = 1 names one");
}

TEST_F(ClassLossesTest, WhereEveryClassIsIgnored) {
  const at::Tensor ignored = at::full({3}, -100, at::kLong);
  EXPECT_TRUE(std::isnan(value("cross_entropy", scores_, ignored)));  // as torch's
  EXPECT_EQ(value("soft_label_cross_entropy", scores_, ignored), 0);
  EXPECT_EQ(value("label_smoothing_cross_entropy", scores_, ignored), 0);
}

TEST_F(ClassLossesTest, ScoresOfAnIgnoredRowDoNotMatter) {
  const at::Tensor classes = at::tensor({1, -100, 0}, at::kLong);
  const at::Tensor scores = scores_.clone();
  scores.select(0, 1).fill_(kNan);
  for (const char* loss :
       {"cross_entropy", "soft_label_cross_entropy", "label_smoothing_cross_entropy"}) {
    EXPECT_EQ(value(loss, scores, classes), value(loss, scores_, classes)) << loss;
  }
}

TEST_F(ClassLossesTest, AllOfTheSmoothingIsRefused) {
  try {
    static_cast<void>(make_loss("label_smoothing_cross_entropy", {{"label_smoothing", 1.0}}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "losses[0].params.label_smoothing = 1.0 leaves nothing for the class itself; "
                 "expected a number from 0 to below 1");
  }
}

TEST_F(ClassLossesTest, SmoothingNeedsTwoClasses) {
  EXPECT_EQ(
      error_with("label_smoothing_cross_entropy", at::ones({2, 1}), at::zeros({2}, at::kLong)),
      "loss label_smoothing_cross_entropy: found scores [2, 1] Float; expected at least two "
      "classes, [batch, 2 or more]");
}

// Three captions of one, two and no words: -log 1/4 at each word of equal scores.
TEST_F(ClassLossesTest, CaptionStepsBeyondTheEndDoNotCount) {
  const at::Tensor scores = at::zeros({3, 2, 4});
  scores.select(0, 2).fill_(kNan);               // no word
  scores.select(0, 0).select(0, 1).fill_(kNan);  // the second of one
  const Given given{"caption_cross_entropy",
                    {},
                    {{"scores", scores}},
                    {{"targets", at::ones({3, 2}, at::kLong)},
                     {"caption_len", at::tensor({2, 3, 1}, at::kLong)}}};
  EXPECT_NEAR(value(given), std::log(4), 1e-6);
}

TEST_F(ClassLossesTest, CaptionsWithoutWordsAreZero) {
  const Given given{
      "caption_cross_entropy",
      {},
      {{"scores", at::zeros({1, 2, 4})}},
      {{"targets", at::ones({1, 2}, at::kLong)}, {"caption_len", at::ones({1}, at::kLong)}}};
  EXPECT_EQ(value(given), 0);
}

TEST_F(ClassLossesTest, ACaptionLongerThanTheScoresIsNoNumber) {
  Given given{
      "caption_cross_entropy",
      {},
      {{"scores", at::zeros({1, 2, 4})}},
      {{"targets", at::ones({1, 5}, at::kLong)}, {"caption_len", at::full({1}, 3, at::kLong)}}};
  EXPECT_NEAR(value(given), std::log(4), 1e-6);
  given.batch["caption_len"] = at::full({1}, 4, at::kLong);
  EXPECT_TRUE(std::isnan(value(given)));
}

TEST_F(ClassLossesTest, WithoutLengthsEveryWordNeedsScores) {
  EXPECT_THAT(error_with("caption_cross_entropy", at::ones({1, 2, 4}), at::ones({1, 5}, at::kLong)),
              HasSubstr("found scores [1, 2, 4] Float and targets [1, 5] Long"));
}

}  // namespace
}  // namespace pergola::host::loss_test
