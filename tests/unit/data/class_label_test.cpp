// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/class_label.h"

#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

namespace pergola::host {
namespace {

using test::error_of;
using test::TempFolder;
using testing::ElementsAre;

class ClassLabelTest : public testing::Test {
 protected:
  std::unique_ptr<Processor> make(const std::string& file = "") {
    Value params = Value::Table{{"vocab_file", file}};
    return registry_.make_processor({"class_label", Config(std::move(params)), Config(), ""});
  }
  std::unique_ptr<Processor> fitted(const Strings& texts) {
    auto processor = make();
    processor->fit(texts);
    return processor;
  }
  static Sample of_number(std::int64_t number) {
    Sample sample;
    sample.set("label", at::scalar_tensor(number, at::kLong));
    return sample;
  }
  static Sample of_words(const Strings& words) {
    Sample sample;
    sample.set("answers", words);
    return sample;
  }
  static std::int64_t target(const Processor& processor, Sample sample) {
    Rng rng(0);
    processor.apply(sample, rng);
    EXPECT_EQ(sample.tensor("targets").dim(), 0);
    return sample.tensor("targets").item<std::int64_t>();
  }
  static std::string error(const Processor& processor, Sample sample) {
    Rng rng(0);
    return error_of(ErrorKind::kData, [&] { processor.apply(sample, rng); });
  }
  TempFolder folder_;
  Registry registry_ = test::data_registry();
};

TEST_F(ClassLabelTest, ItsStateStandsInForTheTrainingSplit) {
  const auto processor = fitted({"True", "False", "maybe"});
  const auto restored = make();
  restored->load_state_dict(processor->state_dict());
  EXPECT_EQ(restored->facts(), processor->facts());
  EXPECT_EQ(target(*restored, of_words({"maybe"})), target(*processor, of_words({"maybe"})));
}

TEST_F(ClassLabelTest, NumbersTheWordsOfTheFileInItsOrder) {
  const auto processor = make(folder_.write("classes.txt", "True\nFalse\n").string());
  EXPECT_EQ(target(*processor, of_words({"true"})), 0);
  EXPECT_EQ(target(*processor, of_words({" False "})), 1);
  EXPECT_EQ(target(*processor, of_number(1)), 1);
  EXPECT_EQ(processor->facts(), Value(Value::Table{{"num_final_outputs", 2},
                                                   {"answers", Value::Array{"true", "false"}}}));
}

TEST_F(ClassLabelTest, TellsTheWordOfANumber) {
  const auto processor = make(folder_.write("classes.txt", "cat\ndog\n").string());
  Sample sample = of_number(1);
  Rng rng(0);
  processor->apply(sample, rng);
  EXPECT_THAT(sample.strings("answers"), ElementsAre("dog"));
}

TEST_F(ClassLabelTest, SortsTheWordsOfTrain) {
  const auto processor = fitted({"dog", "cat", "Dog"});
  EXPECT_EQ(target(*processor, of_words({"cat"})), 0);
  EXPECT_EQ(target(*processor, of_words({"dog"})), 1);
}

// As text, "10" comes before "9"; number 8 is a class although train has none.
TEST_F(ClassLabelTest, TakesNumbersOfTrainAsTheyAre) {
  const auto processor = fitted({"10", "9", "0"});
  EXPECT_EQ(processor->facts().find("num_final_outputs")->as_integer(), 11);
  EXPECT_EQ(target(*processor, of_number(9)), 9);
  EXPECT_EQ(target(*processor, of_number(8)), 8);
}

// "01" and "1" are two words; as numbers they would be one class, and the row's own word none.
TEST_F(ClassLabelTest, NumbersWithZerosInFrontAreWords) {
  const auto codes = fitted({"002", "001"});
  EXPECT_EQ(codes->facts(),
            Value(Value::Table{{"num_final_outputs", 2}, {"answers", Value::Array{"001", "002"}}}));
  EXPECT_EQ(target(*codes, of_words({"001"})), 0);
  const auto mixed = fitted({"2", "01"});
  EXPECT_EQ(mixed->facts().find("num_final_outputs")->as_integer(), 2);
  EXPECT_EQ(target(*mixed, of_words({"01"})), 0);
  EXPECT_EQ(target(*mixed, of_words({"2"})), 1);
}

TEST_F(ClassLabelTest, NoClassAtAllIsAnErrorOfTheData) {
  const std::string expected =
      "there are no classes: no row of the training split has a label or an answer of more than "
      "spaces, commas and question marks; correct the rows, or list the classes in the vocab_file "
      "of processor 'class_label'";
  for (const Strings& texts : {Strings{}, Strings{"", " ?"}}) {
    EXPECT_EQ(error_of(ErrorKind::kData, [&] { static_cast<void>(fitted(texts)); }), expected);
  }
  const auto restored = make();
  restored->load_state_dict(Value::Table{{"words", Value::Array{}}, {"takes_numbers", false}});
  EXPECT_EQ(error(*restored, of_number(0)), expected);
}

TEST_F(ClassLabelTest, RefusesANumberBeyondTheClasses) {
  const auto processor = make(folder_.write("classes.txt", "cat\ndog\n").string());
  EXPECT_EQ(error(*processor, of_number(2)),
            "the label 2 is not one of the 2 classes, expected 0 to 1; correct the row, or add to "
            "the vocab_file of processor 'class_label'");
  EXPECT_NE(error(*processor, of_number(-1)).find("the label -1 is"), std::string::npos);
}

// fit() has sorted the words, so that a number would mean whatever class it happens to meet.
TEST_F(ClassLabelTest, RefusesNumbersOfWordsThatNobodyHasNumbered) {
  const auto processor = fitted({"cat", "dog", "1"});
  const std::string expected =
      "the label is the number 1, but the classes are words of the training split, as '1'; write "
      "all labels as words or all as numbers, or list the words in the vocab_file of processor "
      "'class_label', which numbers them";
  EXPECT_EQ(error(*processor, of_number(1)), expected);
  const auto restored = make();
  restored->load_state_dict(processor->state_dict());
  EXPECT_EQ(error(*restored, of_number(1)), expected);
}

TEST_F(ClassLabelTest, TakesNumbersWithTheStateOfAnOlderCheckpoint) {
  const auto restored = make();
  restored->load_state_dict(Value::Table{{"words", Value::Array{"cat", "dog"}}});
  EXPECT_EQ(target(*restored, of_number(1)), 1);
}

TEST_F(ClassLabelTest, RefusesAWordThatIsNoClass) {
  const auto processor = fitted({"cat", "dog"});
  EXPECT_EQ(error(*processor, of_words({"dgo"})),
            "'dgo' is not one of the 2 classes; correct the row, or add it to the vocab_file of "
            "processor 'class_label'; did you mean 'dog'?");
  EXPECT_EQ(error(*processor, of_words({"cat", "dog"})),
            "the row has 2 answers, but the processor 'class_label' takes one class; take "
            "'vqa_answer'");
}

// An image_text row with such a number is refused before, with its line.
TEST_F(ClassLabelTest, NumbersBeyondAMillionAreWords) {
  const auto processor = fitted({"1", "1000000"});
  EXPECT_EQ(processor->facts().find("num_final_outputs")->as_integer(), 2);
  EXPECT_EQ(target(*processor, of_words({"1000000"})), 1);
}

}  // namespace
}  // namespace pergola::host
