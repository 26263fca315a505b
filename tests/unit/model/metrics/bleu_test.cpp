// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/bleu.h"

#include "unit/model/metrics/text_helpers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kStart = 1;  // <s>
constexpr std::int64_t kEnd = 2;    // </s>

class CaptionBleu4Test : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::int64_t> ids(const Strings& words) const {
    std::vector<std::int64_t> ids;
    for (const std::string& word : words) {
      ids.push_back(std::find(words_.begin(), words_.end(), word) - words_.begin());
    }
    return ids;
  }
  [[nodiscard]] double bleu4(const std::vector<TextSample>& samples) const {
    const auto classes = static_cast<std::int64_t>(words_.size());
    return value_of_texts("caption_bleu4", array_of(words_), samples,
                          scores_for(samples, classes, kEnd));
  }
  const Strings words_ = strings_of(*text_golden().find("captions.vocabulary"));
};

TEST_F(CaptionBleu4Test, HasTheNumbersOfNltk) {
  for (const Value& corpus : text_golden().find("captions.corpora")->as_array()) {
    std::vector<TextSample> samples;
    for (const Value& sample : corpus.find("samples")->as_array()) {
      samples.push_back(
          {ids(strings_of(*sample.find("predicted"))), strings_of(*sample.find("references"))});
    }
    const double expected = corpus.find("bleu4")->as_float();
    EXPECT_NEAR(bleu4(samples), expected, 1e-12 * expected) << corpus.find("name")->as_string();
  }
}

TEST_F(CaptionBleu4Test, HasTheNumbersOfMmfsTests) {
  const std::string ten = "a a a a a a a a a a";
  const TextSample same{ids(Strings(10, "a")), Strings(5, ten)};
  EXPECT_DOUBLE_EQ(bleu4(std::vector<TextSample>(5, same)), 1);
  Strings half(5, "a");
  half.insert(half.end(), 5, "sky");
  EXPECT_NEAR(bleu4(std::vector<TextSample>(5, {ids(half), Strings(5, ten)})), 0.3928, 5e-5);
}

TEST_F(CaptionBleu4Test, EndsAtTheEndAndHasNoPaddingOrStart) {
  std::vector<std::int64_t> caption = ids({"a", "man", "on", "the", "street"});
  caption.insert(caption.begin(), kStart);
  caption.insert(caption.begin() + 2, 0);  // <pad>
  caption.push_back(kEnd);
  caption.push_back(ids({"dog"})[0]);
  EXPECT_DOUBLE_EQ(bleu4({{caption, {"A man on the street?"}}}), 1);
}

TEST_F(CaptionBleu4Test, WordsWithoutUnkInTheVocabularyStayAsTheyAre) {
  const Strings words{"a", "b", "c", "d"};
  const std::vector<TextSample> samples{{{0, 1, 2, 3}, {"a b c e", "a b c d"}}};
  EXPECT_DOUBLE_EQ(
      value_of_texts("caption_bleu4", array_of(words), samples, scores_for(samples, 4, 0)), 1);
}

TEST_F(CaptionBleu4Test, ScoresThatAreNoNumbersGiveNoWords) {
  const std::vector<TextSample> samples{{ids({"a", "man"}), {"a man"}}};
  const at::Tensor scores = at::full({1, 2, static_cast<std::int64_t>(words_.size())}, NAN);
  EXPECT_EQ(value_of_texts("caption_bleu4", array_of(words_), samples, scores), 0);
}

TEST_F(CaptionBleu4Test, KnowsNoContextTokens) {
  const std::vector<TextSample> samples{{ids({"a"}), {"a"}, {"token"}}};
  const at::Tensor scores = at::zeros({1, 2, static_cast<std::int64_t>(words_.size()) + 1});
  try {
    static_cast<void>(value_of_texts("caption_bleu4", array_of(words_), samples, scores));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("caption_bleu4 found scores [1, 2, 17] for 16 words; "
                                        "expected at most one score a word"));
  }
}

}  // namespace
}  // namespace pergola::host
