// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/processors.h"

#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

namespace pergola::host {
namespace {

using test::error_of;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pointwise;

std::vector<std::int64_t> integers(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<std::int64_t>(),
          tensor.const_data_ptr<std::int64_t>() + tensor.numel()};
}

std::vector<float> floats(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), tensor.const_data_ptr<float>() + tensor.numel()};
}

Sample apply(const Processor& processor, const std::string& field, SampleField value) {
  Rng rng(0);
  Sample sample;
  sample.set(field, std::move(value));
  processor.apply(sample, rng);
  return sample;
}

// As the registry gives them to the processor of class P.
template <class P>
Config params(Value::Table table) {
  return P::spec().complete(Config(Value(std::move(table)), "params"));
}

TEST(VocabProcessorTest, TurnsWordsIntoNumbersPaddedWithZero) {
  VocabProcessor processor(params<VocabProcessor>({{"max_length", 5}}));
  processor.fit({"is it blue?", "is it red?", "blue is it"});
  // counts: is 3, it 3, blue 2, red 1; so is 4, it 5, blue 6, red 7 after the four special words.
  const Sample sample = apply(processor, "question", std::string("Is it green, blue?"));
  EXPECT_THAT(integers(sample.tensor("text")), ElementsAre(4, 5, 3, 6, 0));
  EXPECT_EQ(sample.tensor("text_len").dim(), 0);
  EXPECT_EQ(sample.tensor("text_len").item<std::int64_t>(), 4);
}

TEST(VocabProcessorTest, ItsStateStandsInForTheTexts) {
  VocabProcessor processor(params<VocabProcessor>({{"max_length", 5}}));
  processor.fit({"is it blue?", "is it red?"});
  VocabProcessor restored(params<VocabProcessor>({{"max_length", 5}}));
  restored.load_state_dict(processor.state_dict());
  EXPECT_EQ(restored.facts(), processor.facts());
  const Sample sample = apply(restored, "question", std::string("red, is it not?"));
  EXPECT_TRUE(
      at::equal(sample.tensor("text"),
                apply(processor, "question", std::string("red, is it not?")).tensor("text")));
  EXPECT_THAT(
      error_of(ErrorKind::kCheckpoint,
               [&] {
                 restored.load_state_dict(Value(Value::Table{{"words", Value::Array{"red"}}}));
               }),
      HasSubstr("has no <unk>"));
  EXPECT_THAT(error_of(ErrorKind::kCheckpoint,
                       [&] {
                         restored.load_state_dict(Value(Value::Table{{"words", Value::Array{1}}}));
                       }),
              HasSubstr("a string"));
}

// JSON makes one character of each byte that is not UTF-8.
TEST(VocabProcessorTest, WordsThatAStateDoesNotTellApartKeepTheirNumbers) {
  VocabProcessor restored(params<VocabProcessor>({}));
  restored.load_state_dict(
      Value(Value::Table{{"words", Value::Array{"<unk>", "\uFFFD", "\uFFFD", "red"}}}));
  EXPECT_EQ(restored.facts(), Value(Value::Table{{"text_vocab_size", 4}}));
  EXPECT_EQ(apply(restored, "question", std::string("red")).tensor("text")[0].item<int>(), 3);
}

TEST(VocabProcessorTest, CutsALongQuestionAndItsLength) {
  VocabProcessor processor(params<VocabProcessor>({{"max_length", 2}}));
  processor.fit({"a b c"});
  const Sample sample = apply(processor, "question", std::string("c b a"));
  EXPECT_THAT(integers(sample.tensor("text")), ElementsAre(6, 5));
  EXPECT_EQ(sample.tensor("text_len").item<std::int64_t>(), 2);
}

TEST(VocabProcessorTest, HasFourteenPlacesByDefault) {
  VocabProcessor processor(params<VocabProcessor>({}));
  processor.fit({"a"});
  EXPECT_EQ(apply(processor, "question", std::string("a")).tensor("text").numel(), 14);
}

TEST(VocabProcessorTest, TellsTheSizeOfItsVocabulary) {
  VocabProcessor processor(params<VocabProcessor>({{"min_count", 2}}));
  processor.fit({"a b", "a c"});  // only `a` is there twice
  EXPECT_EQ(processor.facts(), Value(Value::Table{{"text_vocab_size", 5}}));
}

TEST(VocabProcessorTest, PrefersItsFileToTheTexts) {
  const TempFolder folder;
  VocabProcessor processor(
      params<VocabProcessor>({{"vocab_file", folder.write("v.txt", "x\ny\n").string()}}));
  processor.fit({"a b c d e"});
  EXPECT_EQ(processor.facts(), Value(Value::Table{{"text_vocab_size", 6}}));
  EXPECT_EQ(apply(processor, "question", std::string("y")).tensor("text")[0].item<int>(), 5);
}

TEST(VocabProcessorTest, RefusesAQuestionWithoutWords) {
  VocabProcessor processor(params<VocabProcessor>({}));
  processor.fit({"a"});
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { apply(processor, "question", std::string(" ?, ")); }),
            "the question ' ?, ' has no words; give it some, or remove it");
}

TEST(VocabProcessorTest, RefusesAnUnknownParameterAndALengthOfZero) {
  EXPECT_THAT(error_of(ErrorKind::kConfig,
                       [] {
                         VocabProcessor(params<VocabProcessor>({{"max_len", 3}}));
                       }),
              HasSubstr("max_length"));
  EXPECT_THAT(error_of(ErrorKind::kConfig,
                       [] {
                         VocabProcessor(params<VocabProcessor>({{"max_length", 0}}));
                       }),
              HasSubstr("max_length"));
}

class VqaAnswerProcessorTest : public testing::Test {
 protected:
  void SetUp() override { processor_.fit({"yes", "yes", "yes", "no", "no", "red"}); }
  // Targets of <unk>, yes, no, red.
  std::vector<float> targets(Strings answers) {
    return floats(apply(processor_, "answers", std::move(answers)).tensor("targets"));
  }
  VqaAnswerProcessor processor_{params<VqaAnswerProcessor>({})};
};

TEST_F(VqaAnswerProcessorTest, GivesTheOnlyAnswerAFullScore) {
  EXPECT_THAT(targets({"no"}), ElementsAre(0, 0, 1, 0));
}

TEST_F(VqaAnswerProcessorTest, RepeatsTwoAnswersToFiveAndFive) {
  EXPECT_THAT(targets({"yes", "no"}), ElementsAre(0, 1, 1, 0));
}

TEST_F(VqaAnswerProcessorTest, LeavesEachOfTenPeopleOut) {
  // c of ten people: (c min(1, (c-1)/3) + (10-c) min(1, c/3)) / 10 = 0.3, 0.6, 0.9, 1 for 1, 2,
  // 3, 4.
  EXPECT_THAT(targets({"yes", "no", "no", "red", "red", "red", "x", "x", "x", "x"}),
              ElementsAre(0, 0.3F, 0.6F, 0.9F));
  EXPECT_THAT(targets({"yes", "yes", "yes", "yes", "x", "x", "x", "x", "x", "x"}),
              ElementsAre(0, 1, 0, 0));
}

TEST_F(VqaAnswerProcessorTest, RepeatsThreeAnswersInTurn) {
  // yes no x yes no x yes no x yes: 4 of yes, 3 of no.
  EXPECT_THAT(targets({"yes", "no", "x"}), ElementsAre(0, 1, 0.9F, 0));
}

TEST_F(VqaAnswerProcessorTest, ScoresNothingForAnUnknownAnswer) {
  EXPECT_THAT(targets({"purple"}), ElementsAre(0, 0, 0, 0));
}

// Of ten people one has said nothing: no class of its own, but still one of the ten.
TEST_F(VqaAnswerProcessorTest, PassesOverABlankAnswer) {
  VqaAnswerProcessor processor(params<VqaAnswerProcessor>({}));
  processor.fit({"yes", "", "?", "yes"});
  EXPECT_EQ(processor.facts().find("num_final_outputs")->as_integer(), 2);
  EXPECT_THAT(targets({"yes", "", "x", "x", "x", "x", "x", "x", "x", "x"}),
              ElementsAre(0, 0.3F, 0, 0));
}

TEST_F(VqaAnswerProcessorTest, ComparesAnswersInLowerCaseWithoutSpaceAround) {
  EXPECT_THAT(targets({" Yes?"}), ElementsAre(0, 1, 0, 0));
}

TEST_F(VqaAnswerProcessorTest, KnowsAnswersInTheFormThatTheyAreComparedIn) {
  EXPECT_TRUE(processor_.knows(" Yes?"));
  EXPECT_FALSE(processor_.knows("purple"));
}

TEST_F(VqaAnswerProcessorTest, ComparesTheWordsOfItsFileInTheSameForm) {
  const TempFolder folder;
  const auto file = folder.write("answers.txt", "Yes\nNo, thanks\n");
  const VqaAnswerProcessor processor(params<VqaAnswerProcessor>({{"vocab_file", file.string()}}));
  EXPECT_TRUE(processor.knows("yes"));
  EXPECT_TRUE(processor.knows("no, thanks"));
  EXPECT_EQ(processor.vocab().word(1), "yes");
}

// Of one person, leaving each out leaves nobody to agree with: all targets would be 0.
TEST_F(VqaAnswerProcessorTest, RefusesASinglePerson) {
  EXPECT_THAT(error_of(ErrorKind::kConfig,
                       [] {
                         VqaAnswerProcessor(params<VqaAnswerProcessor>({{"num_answers", 1}}));
                       }),
              HasSubstr("params.num_answers = 1"));
}

TEST_F(VqaAnswerProcessorTest, TellsTheNumberOfOutputsAndWhatTheyMean) {
  const Value::Array words{"<unk>", "yes", "no", "red"};
  EXPECT_EQ(processor_.facts(), Value(Value::Table{{"num_final_outputs", 4}, {"answers", words}}));
}

TEST_F(VqaAnswerProcessorTest, ItsStateStandsInForTheAnswers) {
  VqaAnswerProcessor processor(params<VqaAnswerProcessor>({}));
  processor.fit({"Yes", "no", "the dog's", "no"});
  VqaAnswerProcessor restored(params<VqaAnswerProcessor>({}));
  restored.load_state_dict(processor.state_dict());
  EXPECT_EQ(restored.facts(), processor.facts());
  EXPECT_TRUE(restored.knows("the dog's"));
}

TEST_F(VqaAnswerProcessorTest, RefusesNoAnswerAndMoreThanTen) {
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { targets({}); }),
            "a question has 0 answers, expected 1 to 10; correct the data, or set num_answers of "
            "the answer processor");
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { targets(Strings(11, "yes")); }),
              HasSubstr("a question has 11 answers"));
}

TEST(ImageProcessorTest, ScalesBytesToMinusOneToOneByDefault) {
  const ImageProcessor processor(params<ImageProcessor>({}));
  const at::Tensor bytes = at::tensor({0, 255, 51}, at::kByte).view({3, 1, 1});
  // (51/255 - 0.5) / 0.5 = -0.6
  EXPECT_THAT(floats(apply(processor, "image", bytes).tensor("image")),
              Pointwise(testing::FloatEq(), {-1.0F, 1.0F, -0.6F}));
}

TEST(ImageProcessorTest, TakesOneMeanAndStdForEachChannel) {
  const Value::Array mean{0.0, 0.5, 1.0};
  const Value::Array std{1.0, 0.5, 2};
  const ImageProcessor processor(params<ImageProcessor>({{"mean", mean}, {"std", std}}));
  const at::Tensor bytes = at::full({3, 2, 2}, 255, at::kByte);
  const at::Tensor image = apply(processor, "image", bytes).tensor("image");
  // (1 - 0) / 1, (1 - 0.5) / 0.5, (1 - 1) / 2
  EXPECT_TRUE(at::allclose(image.select(1, 1).select(1, 1), at::tensor({1.0F, 1.0F, 0.0F})));
}

TEST(ImageProcessorTest, TakesAnImageThatIsNotContiguous) {
  const ImageProcessor processor(params<ImageProcessor>({{"mean", 0.0}, {"std", 1.0}}));
  const at::Tensor bytes = at::arange(12, at::kByte).view({2, 2, 3}).permute({2, 0, 1});
  const at::Tensor image = apply(processor, "image", bytes).tensor("image");
  EXPECT_TRUE(at::allclose(image, bytes.to(at::kFloat) / 255));
}

TEST(ImageProcessorTest, RefusesATensorThatIsNoImage) {
  const ImageProcessor processor(params<ImageProcessor>({}));
  EXPECT_EQ(error_of(ErrorKind::kData,
                     [&] {
                       apply(processor, "image", at::zeros({3, 2, 2}));
                     }),
            "field 'image' is float [3, 2, 2], but the processor 'image' takes uint8 [3, height, "
            "width]; choose another one");
  EXPECT_THAT(error_of(ErrorKind::kData,
                       [&] {
                         apply(processor, "image", at::zeros({2, 2, 3}, at::kByte));
                       }),
              HasSubstr("[2, 2, 3]"));
}

TEST(ImageProcessorTest, RefusesAStdOfZeroAndAListOfTwo) {
  EXPECT_THAT(error_of(ErrorKind::kConfig,
                       [] {
                         ImageProcessor(params<ImageProcessor>({{"std", 0.0}}));
                       }),
              HasSubstr("must be above 0"));
  const Value::Array two{0.5, 0.5};
  EXPECT_THAT(error_of(ErrorKind::kConfig,
                       [&] {
                         ImageProcessor(params<ImageProcessor>({{"mean", two}}));
                       }),
              HasSubstr("must be a number, or three: for red, green and blue"));
}

}  // namespace
}  // namespace pergola::host
