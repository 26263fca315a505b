// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/answer_metrics.h"

#include "unit/model/metrics/text_helpers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

const Value& golden_words() { return *text_golden().find("vocabulary"); }

std::vector<TextSample> golden_samples(const char* list) {
  std::vector<TextSample> samples;
  for (const Value& one : text_golden().find(list)->as_array()) {
    TextSample sample{
        {}, strings_of(*one.find("answers")), strings_of(*one.find("context_tokens"))};
    for (const Value& id : one.find("ids")->as_array()) sample.ids.push_back(id.as_integer());
    samples.push_back(sample);
  }
  return samples;
}

// Of the reference's numbers; its vocabulary has 17 words, then come context tokens. </s> is 2.
double golden_value(const std::string& key, const std::vector<TextSample>& samples) {
  at::Tensor scores = scores_for(samples, /*classes=*/22, /*end=*/2);
  if (key == "vqa_evalai_accuracy") scores = scores.select(1, 0);
  return value_of_texts(key, golden_words(), samples, scores);
}

TEST(AnswerMetricsTest, SequencesHaveTheNumbersOfMmf) {
  const auto samples = golden_samples("sequences");
  const Value::Array& rows = text_golden().find("sequences")->as_array();
  for (const char* key : {"textvqa_accuracy", "stvqa_accuracy", "stvqa_anls"}) {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      EXPECT_NEAR(golden_value(key, {samples[i]}), rows[i].find(key)->as_float(), 1e-12)
          << key << " of sample " << i;
    }
    EXPECT_NEAR(golden_value(key, samples), text_golden().find("means")->find(key)->as_float(),
                1e-12);
  }
}

TEST(AnswerMetricsTest, OcrVqaIsStVqa) {
  EXPECT_EQ(golden_value("ocrvqa_accuracy", golden_samples("sequences")),
            golden_value("stvqa_accuracy", golden_samples("sequences")));
}

TEST(AnswerMetricsTest, SingleAnswersHaveTheNumbersOfMmf) {
  const char* key = "vqa_evalai_accuracy";
  const auto samples = golden_samples("single");
  const Value::Array& rows = text_golden().find("single")->as_array();
  for (std::size_t i = 0; i < samples.size(); ++i) {
    EXPECT_NEAR(golden_value(key, {samples[i]}), rows[i].find(key)->as_float(), 1e-12) << i;
  }
  EXPECT_NEAR(golden_value(key, samples), text_golden().find("means")->find(key)->as_float(),
              1e-12);
}

class AnswersTest : public ::testing::Test {
 protected:
  // One sample of answer scores [C].
  double evalai(const std::vector<double>& scores, const Strings& answers,
                const Strings& context = {}) {
    return value_of_texts("vqa_evalai_accuracy", words_, {{{}, answers, context}},
                          at::tensor(scores).unsqueeze(0));
  }
  std::string error(const std::string& key, const at::Tensor& scores, const Strings& answers) {
    const auto metric = make_metric(key, {{"answers", words_}});
    SampleList batch;
    batch.add_field("answers", std::vector<Strings>{answers});
    ModelOutput output;
    output.scores = scores;
    try {
      metric->update(batch, output);
      static_cast<void>(metric->compute());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      return error.what();
    }
    return "nothing was thrown";
  }
  Value words_ = array_of({"<unk>", "yes", "no", "</s>"});
};

TEST_F(AnswersTest, UnkIsNeverTheAnswer) {
  EXPECT_EQ(evalai({9, 1, 2, 0}, {"no"}), 1);
  EXPECT_EQ(evalai({9, 1, 2, 0}, {"<unk>"}), 0);
}

TEST_F(AnswersTest, CountsPeopleLeavingEachOut) {
  // 3 of 10 people: (3 min(1, 2/3) + 7 min(1, 3/3)) / 10 = 0.9
  EXPECT_DOUBLE_EQ(
      evalai({0, 1, 0, 0}, {"yes", "Yes!", "the yes", "no", "no", "no", "no", "no", "no", "maybe"}),
      0.9);
}

TEST_F(AnswersTest, RepeatsFewerAnswersInTurn) {
  // yes no x yes no x yes no x yes: 3 of no
  EXPECT_DOUBLE_EQ(evalai({0, 0, 1, 0}, {"yes", "no", "x"}), 0.9);
}

TEST_F(AnswersTest, TakesAsManyPeopleAsItIsTold) {
  const auto metric = make_metric("vqa_evalai_accuracy", {{"answers", words_}, {"num_answers", 2}});
  ModelOutput output;
  output.scores = at::tensor({0.0, 1.0, 0.0, 0.0}).unsqueeze(0);
  metric->update(fields_of({{{}, {"yes", "no"}}}), output);
  EXPECT_DOUBLE_EQ(value_of(*metric), 1.0 / 6);  // (min(1, 0/3) + min(1, 1/3)) / 2
}

TEST_F(AnswersTest, TakesTheFirstBranch) {
  const at::Tensor scores = at::tensor({0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0}).view({1, 2, 4});
  EXPECT_EQ(value_of_texts("vqa_evalai_accuracy", words_, {{{}, {"yes"}}}, scores), 1);
}

TEST_F(AnswersTest, NumbersBeyondTheWordsAreTokensOfTheSample) {
  EXPECT_EQ(evalai({0, 0, 0, 0, 0, 1}, {"exit"}, {"way", "Exit"}), 1);
  EXPECT_EQ(evalai({0, 0, 0, 0, 0, 1}, {"way"}, {"way"}), 0);  // there is no such token
}

TEST_F(AnswersTest, OneWordIsASequenceToo) {
  const at::Tensor scores = at::tensor({0.0, 0.0, 1.0, 0.0}).unsqueeze(0);
  EXPECT_EQ(value_of_texts("textvqa_accuracy", words_, {{{}, {"no"}}}, scores), 1);
}

TEST_F(AnswersTest, ScoresThatAreNoNumbersChooseNothing) {
  const double nan = std::nan("");
  EXPECT_EQ(evalai({0, nan, 2, 0}, {"yes", "no"}), 0);
  EXPECT_EQ(evalai({nan, 0, 2, 0}, {"no"}), 0);
  EXPECT_EQ(evalai({0, -kInfinity, -kInfinity, -kInfinity}, {"yes", "no"}), 0);
  EXPECT_EQ(evalai({0, kInfinity, 2, 0}, {"yes"}), 1);
  // The place of a sequence is left out.
  const at::Tensor scores = at::tensor({nan, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0}).view({1, 2, 4});
  EXPECT_EQ(value_of_texts("stvqa_accuracy", words_, {{{}, {"yes"}}}, scores), 1);
}

TEST_F(AnswersTest, EmptyTrueAnswersAreAllowed) {
  const at::Tensor end = at::tensor({0.0, 0.0, 0.0, 1.0}).unsqueeze(0);
  EXPECT_EQ(value_of_texts("stvqa_anls", words_, {{{}, {"", "x"}}}, end), 1);
  EXPECT_EQ(value_of_texts("textvqa_accuracy", words_, {{{}, {"yes", "x"}}}, end), 0);
}

TEST_F(AnswersTest, WithoutWordsItSaysWhoseTheyAre) {
  for (const Value::Table& params : {Value::Table{}, Value::Table{{"answers", Value::Array{}}}}) {
    try {
      static_cast<void>(make_metric("vqa_evalai_accuracy", params));
      FAIL() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      EXPECT_THAT(error.what(),
                  HasSubstr("has no words, and vqa_evalai_accuracy needs them to "
                            "make a text of the model's numbers; list them by number, "
                            "or choose a data set that tells its `answers`"));
    }
  }
}

TEST_F(AnswersTest, SaysWhatDoesNotFit) {
  EXPECT_EQ(error("vqa_evalai_accuracy", at::zeros({1, 6}), {"yes"}),
            "vqa_evalai_accuracy found scores [1, 6] for 4 words, and no 'context_tokens' in the "
            "batch; expected at most one score a word; check the model's last layer, or the param "
            "`answers`");
  EXPECT_EQ(error("vqa_evalai_accuracy", at::zeros({1, 1}), {"yes"}),
            "vqa_evalai_accuracy cannot read scores [1, 1] for 1 samples; expected [batch, words] "
            "or [batch, branches, words] with at least 2 words; check the model's last layer");
  EXPECT_EQ(error("stvqa_anls", at::zeros({4}), {"yes"}),
            "stvqa_anls cannot read scores [4] for 1 samples; expected [batch, words] or [batch, "
            "places, words] with at least 1 word; check the model's last layer");
  EXPECT_EQ(error("stvqa_anls", at::zeros({1, 4}), {}),
            "stvqa_anls needs at least one true text a sample, and sample 0 of the batch has none "
            "in 'answers'; correct the data set");
  EXPECT_EQ(error("textvqa_accuracy", at::zeros({1, 4}), Strings(11, "yes")),
            "textvqa_accuracy found a sample with 11 true answers, expected 1 to 10; correct the "
            "data, or set num_answers of the metric");
}

TEST_F(AnswersTest, ManySamplesAreCountedOnTheWay) {
  const auto metric = make_metric("stvqa_anls", {{"answers", words_}});
  constexpr std::int64_t kBatch = 1000;
  const std::vector<TextSample> samples(kBatch, {{1}, {"yess"}});  // 1 - 1/4
  ModelOutput output;
  output.scores = scores_for(samples, /*classes=*/4, /*end=*/3);
  for (int i = 0; i < 9; ++i) metric->update(fields_of(samples), output);
  const auto other = make_metric("stvqa_anls", {{"answers", words_}});
  other->merge(*metric);
  EXPECT_EQ(value_of(*metric), 0.75);
  EXPECT_EQ(value_of(*other), 0.75);
}

}  // namespace
}  // namespace pergola::host
