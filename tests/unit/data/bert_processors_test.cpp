// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/bert_processors.h"

#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace pergola::host {
namespace {

using test::error_of;
using test::TempFolder;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

using Ids = std::vector<std::int64_t>;

constexpr std::int64_t kPad = 0, kUnk = 1, kCls = 2, kSep = 3, kMask = 4;
constexpr std::int64_t kA = 5;  // the letters a to z are 5 to 30
constexpr std::int64_t kVocabSize = 31;

Ids integers(const Sample& sample, const char* field) {
  const at::Tensor& tensor = sample.tensor(field);
  EXPECT_EQ(tensor.scalar_type(), at::kLong);
  EXPECT_EQ(tensor.dim(), 1);
  return {tensor.const_data_ptr<std::int64_t>(),
          tensor.const_data_ptr<std::int64_t>() + tensor.numel()};
}

std::string letters_vocab() {
  std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (char letter = 'a'; letter <= 'z'; ++letter) vocab.append(1, letter).append("\n");
  return vocab;
}

class BertProcessorTest : public testing::Test {
 protected:
  template <class P>
  P make(Value::Table params) {
    if (params.count("vocab_file") == 0) params.emplace("vocab_file", file_.string());
    return P(P::spec().complete(Config(Value(std::move(params)), "params")));
  }
  static Sample apply(const Processor& processor, std::map<std::string, SampleField> fields,
                      std::uint64_t seed = 0) {
    Sample sample;
    for (auto& [name, value] : fields) sample.set(name, std::move(value));
    Rng rng(seed);
    processor.apply(sample, rng);
    return sample;
  }

  TempFolder folder_;
  std::filesystem::path file_ = folder_.write("vocab.txt", letters_vocab());
};

TEST_F(BertProcessorTest, MakesOneTextTheFieldsOfBert) {
  const auto processor = make<BertTokenizerProcessor>({{"max_seq_length", 6}});
  const Sample sample = apply(processor, {{"text", std::string("b A")}});
  EXPECT_THAT(integers(sample, "input_ids"), ElementsAre(kCls, kA + 1, kA, kSep, kPad, kPad));
  EXPECT_THAT(integers(sample, "input_mask"), ElementsAre(1, 1, 1, 1, 0, 0));
  EXPECT_THAT(integers(sample, "segment_ids"), Each(0));
  EXPECT_THAT(integers(sample, "lm_label_ids"), Each(-1));
  EXPECT_THAT(sample.strings("tokens"), ElementsAre("[CLS]", "b", "a", "[SEP]"));
  EXPECT_EQ(sample.string("text"), "b A");
}

// MMF's own test, with the numbers that the vocabulary of bert-base-uncased has for these words
// (MMF.md §12.4); what else is in it has no part in them.
TEST_F(BertProcessorTest, GivesThePublishedNumbers) {
  std::map<int, std::string> words = {
      {0, "[PAD]"},   {100, "[UNK]"}, {101, "[CLS]"}, {102, "[SEP]"},  {103, "[MASK]"},
      {1029, "?"},    {1037, "a"},    {1997, "of"},   {2015, "##s"},   {2022, "be"},
      {2023, "this"}, {2097, "will"}, {3231, "test"}, {19204, "token"}};
  std::string vocab;
  for (int i = 0; i <= 19204; ++i) {
    vocab += words.contains(i) ? words[i] : concat("[unused", i, "]");
    vocab += '\n';
  }
  const auto file = folder_.write("published.txt", vocab);
  const auto processor =
      make<BertTokenizerProcessor>({{"max_seq_length", 12}, {"vocab_file", file.string()}});
  const Sample sample = apply(processor, {{"text", std::string("This will be a test of tokens?")}});
  EXPECT_THAT(integers(sample, "input_ids"),
              ElementsAre(101, 2023, 2097, 2022, 1037, 3231, 1997, 19204, 2015, 1029, 102, 0));
}

TEST_F(BertProcessorTest, NumbersTheSegmentsOfTwoTexts) {
  const auto processor = make<BertTokenizerProcessor>({{"max_seq_length", 8}});
  const Sample sample =
      apply(processor, {{"text", std::string("a")}, {"text_b", std::string("b c")}});
  EXPECT_THAT(integers(sample, "input_ids"),
              ElementsAre(kCls, kA, kSep, kA + 1, kA + 2, kSep, kPad, kPad));
  EXPECT_THAT(integers(sample, "segment_ids"), ElementsAre(0, 0, 0, 1, 1, 1, 0, 0));
}

TEST_F(BertProcessorTest, TakesAnEmptySecondTextForNone) {
  const auto processor = make<BertTokenizerProcessor>({{"max_seq_length", 4}});
  const Sample sample =
      apply(processor, {{"text", std::string("a b c")}, {"text_b", std::string(" ")}});
  EXPECT_THAT(integers(sample, "input_ids"), ElementsAre(kCls, kA, kA + 1, kSep));
}

TEST_F(BertProcessorTest, MakesATextOfNothingFirstAndSeparator) {
  const auto processor = make<BertTokenizerProcessor>({{"max_seq_length", 3}});
  EXPECT_THAT(integers(apply(processor, {{"text", std::string()}}), "input_ids"),
              ElementsAre(kCls, kSep, kPad));
}

TEST_F(BertProcessorTest, ReadsTextAThenTextThenQuestion) {
  const auto processor = make<BertTokenizerProcessor>({{"max_seq_length", 3}});
  const auto word = [&](std::map<std::string, SampleField> fields) {
    return integers(apply(processor, std::move(fields)), "input_ids").at(1);
  };
  const std::string a = "a";
  const std::string b = "b";
  const std::string c = "c";
  EXPECT_EQ(word({{"question", c}}), kA + 2);
  EXPECT_EQ(word({{"question", c}, {"text", b}}), kA + 1);
  EXPECT_EQ(word({{"question", c}, {"text", b}, {"text_a", a}}), kA);
}

TEST_F(BertProcessorTest, JoinsStringsBySpaces) {
  const auto processor = make<BertTokenizerProcessor>({{"max_seq_length", 4}});
  const Sample sample = apply(processor, {{"text", Strings{"a", "b"}}});
  EXPECT_THAT(integers(sample, "input_ids"), ElementsAre(kCls, kA, kA + 1, kSep));
}

TEST_F(BertProcessorTest, HasNoMasksInBertTokenizerAndFifteenPercentInMaskedToken) {
  const auto specs = {BertTokenizerProcessor::spec(), MaskedTokenProcessor::spec()};
  std::vector<double> defaults;
  Ids lengths;
  for (const ComponentSpec& spec : specs) {
    for (const ParamSpec& param : spec.params) {
      if (param.name == "mask_probability") defaults.push_back(param.fallback.as_float());
      if (param.name == "max_seq_length") lengths.push_back(param.fallback.as_integer());
    }
  }
  EXPECT_THAT(defaults, ElementsAre(0.0, 0.15));
  EXPECT_THAT(lengths, ElementsAre(128, 128));
}

TEST_F(BertProcessorTest, TellsTheSizeOfItsVocabulary) {
  EXPECT_EQ(make<MaskedTokenProcessor>({}).facts(),
            Value(Value::Table{{"text_vocab_size", kVocabSize}}));
}

TEST_F(BertProcessorTest, KeepsTheCaseOnRequest) {
  const auto processor = make<BertTokenizerProcessor>({{"do_lower_case", false}});
  EXPECT_EQ(integers(apply(processor, {{"text", std::string("A")}}), "input_ids").at(1), kUnk);
}

TEST_F(BertProcessorTest, IsConfiguredByItsRegisteredName) {
  const Registry registry = test::data_registry();
  for (const char* name : {"bert_tokenizer", "masked_token"}) {
    const Value params(Value::Table{{"vocab_file", file_.string()}});
    const auto processor = registry.make_processor({name, Config(params, "params"), Config(), ""});
    EXPECT_TRUE(apply(*processor, {{"text_a", std::string("a")}}).has("input_ids")) << name;
  }
}

TEST_F(BertProcessorTest, ItsStateStandsInForTheVocabulary) {
  const auto processor = make<BertTokenizerProcessor>({{"do_lower_case", false}});
  auto restored = make<BertTokenizerProcessor>({{"do_lower_case", false}, {"vocab_file", ""}});
  restored.load_state_dict(processor.state_dict());
  EXPECT_EQ(restored.facts(), processor.facts());
  const auto ids = [](const Processor& one) {
    return integers(apply(one, {{"text", std::string("b A a")}}), "input_ids");
  };
  EXPECT_EQ(ids(restored), ids(processor));
  auto other = make<BertTokenizerProcessor>({{"vocab_file", ""}});
  const Value without_specials(Value::Table{{"words", Value::Array{"a"}}});
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { other.load_state_dict(without_specials); }),
              HasSubstr("vocabulary of the checkpoint has no line '[PAD]'"));
  EXPECT_THAT(error_of(ErrorKind::kCheckpoint, [&] { other.load_state_dict(Value(3)); }),
              HasSubstr("a processor's state is an integer without `words`"));
}

TEST_F(BertProcessorTest, RefusesASampleWithoutText) {
  const auto processor = make<MaskedTokenProcessor>({});
  EXPECT_EQ(error_of(ErrorKind::kData,
                     [&] {
                       apply(processor, {{"id", std::string("x")}, {"image", at::zeros({1})}});
                     }),
            "a sample has no text for BERT's tokenizer: it has the fields id, image, expected "
            "text_a, text or question; let the data set give one, or choose another text "
            "processor");
}

TEST_F(BertProcessorTest, RefusesParamsThatCannotBe) {
  const auto refused = [&](Value::Table params) {
    return error_of(ErrorKind::kConfig,
                    [&] { make<MaskedTokenProcessor>(std::move(params)).fit({}); });
  };
  EXPECT_THAT(refused({{"max_seq_length", 2}}), HasSubstr("max_seq_length"));
  EXPECT_THAT(refused({{"mask_probability", 1.5}}), HasSubstr("mask_probability"));
  EXPECT_THAT(refused({{"vocab_file", ""}}), HasSubstr("must name the vocab.txt of the weights"));
  EXPECT_THAT(refused({{"vocab_file", Value()}}), HasSubstr("vocab_file"));
}

// --- truncation -----------------------------------------------------------------------------

TEST(TruncatePairTest, CutsTheLongerOneAndTheSecondOfEqualOnes) {
  for (std::size_t a_size = 0; a_size < 12; ++a_size) {
    for (std::size_t b_size = 0; b_size < 12; ++b_size) {
      for (std::size_t most = 0; most < 24; ++most) {
        Ids a(a_size, 1);
        Ids b(b_size, 2);
        truncate_pair(a, b, most);
        ASSERT_EQ(a.size() + b.size(), std::min(most, a_size + b_size));
        const bool a_is_cut = a.size() < a_size;
        const bool b_is_cut = b.size() < b_size;
        // Nothing is cut below the length of the other one, but the second by one.
        ASSERT_TRUE(!a_is_cut || a.size() >= b.size());
        ASSERT_TRUE(!b_is_cut || b.size() + 1 >= a.size());
      }
    }
  }
}

TEST_F(BertProcessorTest, KeepsTheFrontOfWhatItCuts) {
  const auto processor = make<BertTokenizerProcessor>({{"max_seq_length", 8}});
  const Sample pair =
      apply(processor, {{"text", std::string("a b c d e f")}, {"text_b", std::string("x y")}});
  // 8 - 3 = 5 tokens: 3 and 2.
  EXPECT_THAT(integers(pair, "input_ids"),
              ElementsAre(kCls, kA, kA + 1, kA + 2, kSep, kA + 23, kA + 24, kSep));
  const Sample single = apply(processor, {{"text", std::string("a b c d e f g h")}});
  EXPECT_THAT(integers(single, "input_ids"),
              ElementsAre(kCls, kA, kA + 1, kA + 2, kA + 3, kA + 4, kA + 5, kSep));
}

// --- masking --------------------------------------------------------------------------------

// A count of n trials of probability p that a right processor leaves once in 10^9 runs (six
// standard deviations); the seeds are fixed, so it is the same in each run.
testing::AssertionResult is_share(std::int64_t count, std::int64_t trials, double p) {
  const double expected = static_cast<double>(trials) * p;
  const double sigma = std::sqrt(expected * (1 - p));
  if (std::abs(static_cast<double>(count) - expected) <= 6 * sigma)
    return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << count << " of " << trials << ", expected " << expected << " +- " << sigma;
}

TEST_F(BertProcessorTest, MasksTheSharesOfBert) {
  const auto processor = make<MaskedTokenProcessor>({{"max_seq_length", 32}});
  std::int64_t tokens = 0, chosen = 0, masked = 0, same = 0;
  std::map<std::int64_t, std::int64_t> others;
  for (std::uint64_t seed = 0; seed < 10'000; ++seed) {
    const Sample sample = apply(processor,
                                {{"text_a", std::string("a a a a a a a a a a")},
                                 {"text_b", std::string("a a a a a a a a a a")}},
                                seed);
    const Ids ids = integers(sample, "input_ids");
    const Ids labels = integers(sample, "lm_label_ids");
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool is_word = (i > 0 && i < 11) || (i > 11 && i < 22);  // [CLS] 10 [SEP] 10 [SEP]
      if (!is_word) {
        ASSERT_EQ(labels[i], -1);
        continue;
      }
      ++tokens;
      if (labels[i] == -1) {
        ASSERT_EQ(ids[i], kA);
        continue;
      }
      ASSERT_EQ(labels[i], kA);
      ++chosen;
      if (ids[i] == kMask)
        ++masked;
      else if (ids[i] == kA)
        ++same;
      else
        ++others[ids[i]];
    }
  }
  EXPECT_TRUE(is_share(chosen, tokens, 0.15));
  // A tenth is any token of the vocabulary, and that may be [MASK] or the token itself, too.
  EXPECT_TRUE(is_share(masked, chosen, 0.8 + 0.1 / kVocabSize));
  EXPECT_TRUE(is_share(same, chosen, 0.1 + 0.1 / kVocabSize));
  EXPECT_EQ(others.size(), static_cast<std::size_t>(kVocabSize - 2));
  for (const auto& [id, count] : others) EXPECT_TRUE(is_share(count, chosen, 0.1 / kVocabSize));
}

TEST_F(BertProcessorTest, NeverMasksASpecialToken) {
  const auto processor =
      make<MaskedTokenProcessor>({{"mask_probability", 1.0}, {"max_seq_length", 12}});
  for (std::uint64_t seed = 0; seed < 1'000; ++seed) {
    const Sample sample =
        apply(processor, {{"text_a", std::string("a [SEP] [MASK] unknown [PAD] [CLS] b")}}, seed);
    EXPECT_THAT(integers(sample, "lm_label_ids"),
                ElementsAre(-1, kA, -1, -1, -1, -1, -1, kA + 1, -1, -1, -1, -1));
    const Ids ids = integers(sample, "input_ids");
    EXPECT_THAT(Ids(ids.begin() + 2, ids.begin() + 7), ElementsAre(kSep, kMask, kUnk, kPad, kCls));
  }
}

TEST_F(BertProcessorTest, IsAFunctionOfTheSampleAndItsRng) {
  const auto processor = make<MaskedTokenProcessor>({{"mask_probability", 0.5}});
  const auto result = [&](std::uint64_t seed) {
    const Sample sample = apply(processor, {{"text_a", std::string("a b c d e f g h i j")}}, seed);
    return std::pair(integers(sample, "input_ids"), integers(sample, "lm_label_ids"));
  };
  for (std::uint64_t seed = 0; seed < 20; ++seed) EXPECT_EQ(result(seed), result(seed));
  EXPECT_NE(result(0), result(1));
}

TEST_F(BertProcessorTest, WritesTheTokensAsTheyAreAfterMasking) {
  const auto processor =
      make<BertTokenizerProcessor>({{"mask_probability", 1.0}, {"max_seq_length", 12}});
  const Sample sample = apply(processor, {{"text", std::string("a b c d e f g h i")}});
  const Ids ids = integers(sample, "input_ids");
  const Strings& tokens = sample.strings("tokens");
  ASSERT_EQ(tokens.size(), 11U);
  for (std::size_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(tokens[i] == "[MASK]", ids[i] == kMask);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), "[MASK]") > 0, true);
}

}  // namespace
}  // namespace pergola::host
