// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/easy_vqa.h"

#include "host/data/defaults.h"
#include "pergola/plugin.h"
#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace pergola::host {
namespace {

using test::error_of;
using test::png_of;
using test::Rgb;
using test::TempFolder;
using test::write_easy_vqa;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int kTrainImages = 20;

class EasyVqaTest : public testing::Test {
 protected:
  void SetUp() override {
    write_easy_vqa(folder_, kTrainImages);
    config_["data_dir"] = folder_.path().string();
  }
  std::unique_ptr<Dataset> open(const std::string& split) {
    const DatasetOptions options{"easy_vqa", split, Config(config_, "dataset_config.easy_vqa"),
                                 "unused", registry_};
    return registry_.make_dataset(options);
  }
  std::string data_error(const std::string& split = "train") {
    return error_of(ErrorKind::kData, [&] { (void)open(split); });
  }
  std::string config_error(const std::string& split = "train") {
    return error_of(ErrorKind::kConfig, [&] { (void)open(split); });
  }
  static Sample sample(const Dataset& dataset, std::int64_t index) {
    Rng rng(0);
    return dataset.get(index, rng);
  }
  // The values of a 0-d field over all samples.
  static std::vector<std::int64_t> values(const Dataset& dataset, const char* field) {
    std::vector<std::int64_t> result;
    for (std::int64_t i = 0; i < dataset.size(); ++i) {
      result.push_back(sample(dataset, i).tensor(field).item<std::int64_t>());
    }
    return result;
  }
  // Of the test split.
  std::string image_file(int number) {
    return (folder_.path() / "test/images" / concat(number, ".png")).string();
  }
  TempFolder folder_;
  Value config_ = easy_vqa_defaults();
  Registry registry_ = test::data_registry();
};

TEST_F(EasyVqaTest, HasTheFieldsThatItsProcessorsMake) {
  const auto dataset = open("test");
  ASSERT_EQ(dataset->size(), 4);
  const Sample third = sample(*dataset, 2);  // "what color is the shape?", "red", image 1
  std::vector<std::string> names;
  for (const auto& [name, field] : third.fields()) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("answers", "image", "image_id", "question_id", "targets", "text",
                                 "text_len"));
  EXPECT_THAT(third.strings("answers"), ElementsAre("red"));
  EXPECT_EQ(third.tensor("text").sizes(), (at::IntArrayRef{14}));
  EXPECT_EQ(third.tensor("text_len").item<int>(), 5);
  EXPECT_EQ(third.tensor("question_id").item<int>(), 2);
  EXPECT_EQ(third.tensor("image_id").item<int>(), 1);
  // answers.txt is red, yes, no, after <unk>
  EXPECT_TRUE(at::equal(third.tensor("targets"), at::tensor({0.0F, 1.0F, 0.0F, 0.0F})));
}

TEST_F(EasyVqaTest, PairsEachQuestionWithItsImage) {
  const auto dataset = open("train");
  for (std::int64_t i = 0; i < dataset->size(); ++i) {
    const Sample item = sample(*dataset, i);
    // Image k is of the colour {k, 0, 0}, which the processor makes (k / 255 - 0.5) / 0.5.
    const auto red = static_cast<float>(item.tensor("image_id").item<int>() / 255.0 * 2 - 1);
    EXPECT_EQ(item.tensor("image").sizes(), (at::IntArrayRef{3, 4, 4}));
    EXPECT_FLOAT_EQ(item.tensor("image")[0][3][3].item<float>(), red);
    EXPECT_FLOAT_EQ(item.tensor("image")[1][0][0].item<float>(), -1.0F);
  }
}

TEST_F(EasyVqaTest, SplitsTrainByImageWithoutOverlapAndRemainder) {
  const auto train = open("train");
  const auto val = open("val");
  // a tenth of 20 images, with two questions each
  EXPECT_EQ(val->size(), 4);
  EXPECT_EQ(train->size(), 36);
  std::set<std::int64_t> images;
  for (const auto image : values(*train, "image_id")) images.insert(image);
  EXPECT_EQ(images.size(), 18U);
  for (const auto image : values(*val, "image_id")) EXPECT_FALSE(images.contains(image));
  std::set<std::int64_t> rows;
  for (const auto* dataset : {train.get(), val.get()}) {
    for (const auto row : values(*dataset, "question_id")) EXPECT_TRUE(rows.insert(row).second);
  }
  EXPECT_EQ(rows.size(), 40U);
}

TEST_F(EasyVqaTest, ChoosesValByTheSeedAlone) {
  const auto first = values(*open("val"), "image_id");
  EXPECT_EQ(values(*open("val"), "image_id"), first);
  config_["split_train"]["seed"] = 4;
  EXPECT_NE(values(*open("val"), "image_id"), first);
}

TEST_F(EasyVqaTest, TakesAllOfTrainWhenNothingIsSetAside) {
  config_["split_train"]["val"] = 0.0;
  EXPECT_EQ(open("train")->size(), 40);
  EXPECT_THAT(config_error("val"),
              AllOf(StartsWith("split 'val' of data set 'easy_vqa' is empty, since "
                               "dataset_config.easy_vqa.split_train.val = 0"),
                    EndsWith("leaves images for both train and val")));
}

TEST_F(EasyVqaTest, HasOneVocabularyForAllSplitsAndValShares) {
  // 4 special words, then what, color, is, the, shape, there, a, circle; <unk> and 3 answers
  const Value::Array answers{"<unk>", "red", "yes", "no"};
  const Value expected =
      Value::Table{{"text_vocab_size", 12}, {"num_final_outputs", 4}, {"answers", answers}};
  EXPECT_EQ(open("train")->facts(), expected);
  EXPECT_EQ(open("val")->facts(), expected);
  EXPECT_EQ(open("test")->facts(), expected);
  const Sample first = sample(*open("test"), 0);
  config_["split_train"]["val"] = 0.5;
  EXPECT_TRUE(at::equal(sample(*open("test"), 0).tensor("text"), first.tensor("text")));
}

TEST_F(EasyVqaTest, FormatsOneRowForEachPrediction) {
  const auto dataset = open("test");
  std::vector<Sample> samples;
  samples.push_back(sample(*dataset, 3));
  samples.push_back(sample(*dataset, 0));
  Report report{SampleList::collate(samples), {}};
  report.output.scores = at::tensor({0.F, 1.F, 3.F, 2.F, 0.F, 4.F, 3.F, 2.F}).view({2, 4});
  const auto rows = dataset->format_for_prediction(report);
  ASSERT_EQ(rows.size(), 2U);
  // Each of several soft answers holds or not: 1 / (1 + exp(-score)).
  EXPECT_EQ(rows[0], Value(Value::Table{{"question_id", 3},
                                        {"image_id", 1},
                                        {"question", "is there a circle?"},
                                        {"image", image_file(1)},
                                        {"target", "no"},
                                        {"answer", "yes"},
                                        {"probability", 1 / (1 + std::exp(-3.0))}}));
  EXPECT_EQ(rows[1], Value(Value::Table{{"question_id", 0},
                                        {"image_id", 0},
                                        {"question", "what color is the shape?"},
                                        {"image", image_file(0)},
                                        {"target", "red"},
                                        {"answer", "red"},
                                        {"probability", 1 / (1 + std::exp(-4.0))}}));
}

TEST_F(EasyVqaTest, RefusesScoresOfAnotherNumberOfAnswers) {
  const auto dataset = open("test");
  std::vector<Sample> samples;
  samples.push_back(sample(*dataset, 0));
  Report report{SampleList::collate(samples), {}};
  report.output.scores = at::zeros({1, 9});
  EXPECT_EQ(error_of(ErrorKind::kConfig, [&] { (void)dataset->format_for_prediction(report); }),
            "the model's scores are [1, 9], but there are 4 answers; leave num_final_outputs to "
            "the data set, or set evaluation.predict = false");
}

TEST_F(EasyVqaTest, SaysThatAModelWithoutScoresHasNoPredictions) {
  const auto dataset = open("test");
  std::vector<Sample> samples;
  samples.push_back(sample(*dataset, 0));
  const Report report{SampleList::collate(samples), {}};
  EXPECT_EQ(error_of(ErrorKind::kConfig, [&] { (void)dataset->format_for_prediction(report); }),
            "predictions are made from scores, and the model returned none, only losses of its "
            "own; return scores of [batch, 4] from the model, or set evaluation.predict = false");
}

// An answer processor such as a plugin may have: the number of the answer, which may be 0.
class ClassIndexProcessor final : public Processor {
 public:
  explicit ClassIndexProcessor(const Config& /*params*/) {}
  void apply(Sample& sample, Rng& /*rng*/) const override {
    const std::string& answer = sample.strings("answers").front();
    sample.set("targets", at::scalar_tensor(answer == "red" ? 0 : 1, at::kLong));
  }
};

TEST_F(EasyVqaTest, TakesClassNumberZeroOfAnotherAnswerProcessor) {
  registry_.publish({detail::processor_node<ClassIndexProcessor>("class_index")}, "test");
  config_["processors"]["answer_processor"] = Value::Table{{"type", "class_index"}};
  EXPECT_EQ(sample(*open("test"), 0).tensor("targets").item<int>(), 0);  // "red"
}

TEST_F(EasyVqaTest, LooksForItsFolderInTheDataDirByDefault) {
  config_["data_dir"] = "";
  const DatasetOptions options{"easy_vqa", "train", Config(config_), "/nowhere/data", registry_};
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { EasyVqa dataset(options); }),
            "data set 'easy_vqa' has no folder /nowhere/data/easy_vqa; fetch it with `tools/setup "
            "--data easy_vqa`, or set env.data_dir or dataset_config.easy_vqa.data_dir to where it "
            "is");
}

TEST_F(EasyVqaTest, NamesTheSplitsFolderThatIsMissing) {
  std::filesystem::remove_all(folder_.path() / "test");
  EXPECT_THAT(data_error("test"),
              HasSubstr("has no folder " + (folder_.path() / "test").string() + "; fetch it with"));
}

TEST_F(EasyVqaTest, NamesThePartThatIsMissingAndHowToFetchIt) {
  for (const std::string part : {"train/questions.json", "train/images", "answers.txt"}) {
    const std::filesystem::path path = folder_.path() / part;
    std::filesystem::rename(path, folder_.path() / "elsewhere");
    EXPECT_THAT(data_error(), AllOf(HasSubstr("data set 'easy_vqa' has no "),
                                    HasSubstr(" " + path.string() +
                                              "; fetch it with `tools/setup "
                                              "--data easy_vqa`")));
    std::filesystem::rename(folder_.path() / "elsewhere", path);
  }
  std::filesystem::rename(folder_.path() / "answers.txt", folder_.path() / "mine.txt");
  config_["processors"]["answer_processor"]["params"]["vocab_file"] = "mine.txt";
  EXPECT_EQ(open("train")->facts().find("num_final_outputs")->as_integer(), 4);
}

TEST_F(EasyVqaTest, RefusesASplitThatItDoesNotHave) {
  EXPECT_EQ(config_error("tset"), "data set 'easy_vqa' has no split 'tset'; did you mean 'test'?");
}

TEST_F(EasyVqaTest, RefusesAnUnknownKey) {
  config_["split_train"]["vall"] = 0.2;
  EXPECT_THAT(config_error(), AllOf(HasSubstr("dataset_config.easy_vqa.split_train.vall"),
                                    HasSubstr("did you mean 'val'?")));
}

TEST_F(EasyVqaTest, RefusesAnUnknownProcessor) {
  config_["processors"]["text_processor"]["type"] = "vocabb";
  EXPECT_THAT(config_error(), HasSubstr("did you mean 'vocab'?"));
}

TEST_F(EasyVqaTest, SaysWhereTheJsonIsBroken) {
  folder_.write("test/questions.json", "[[\"a\", \"yes\", 0],\n oops]");
  EXPECT_THAT(data_error("test"), HasSubstr("test/questions.json:2:"));
}

TEST_F(EasyVqaTest, NamesRowAndFileOfAnImageThatIsMissing) {
  std::filesystem::remove(folder_.path() / "test/images/1.png");
  const std::string root = folder_.path().string();
  EXPECT_EQ(
      data_error("test"),
      root + "/test/questions.json row 2 is about image 1, but there is no file " + root +
          "/test/images/1.png; restore the image with `tools/setup --data easy_vqa`, or remove "
          "the row");
}

TEST_F(EasyVqaTest, NamesAnImageThatIsTruncated) {
  const std::string whole = folder_.read("test/images/1.png");
  const auto file = folder_.write("test/images/1.png", whole.substr(0, whole.size() - 20));
  EXPECT_EQ(data_error("test"),
            concat("image ", file.string(), " is truncated: its ", whole.size() - 20,
                   " bytes end before the PNG does; restore the file"));
}

TEST_F(EasyVqaTest, NamesAnImageThatIsNone) {
  const auto file = folder_.write("test/images/0.png", "not found\n");
  EXPECT_EQ(data_error("test"), "image " + file.string() +
                                    " is not a PNG image but text; convert it to PNG, or restore "
                                    "the file");
}

TEST_F(EasyVqaTest, NamesTheRowOfAQuestionWithoutWords) {
  folder_.write("train/questions.json", R"([["a circle?", "yes", 0], [" ? ", "no", 1]])");
  EXPECT_EQ(data_error(),
            (folder_.path() / "train/questions.json").string() +
                " row 1: the question ' ? ' has no words; give it some, or remove it");
}

TEST_F(EasyVqaTest, NamesTheRowOfAnAnswerOutsideTheVocabulary) {
  folder_.write("test/questions.json", R"([["a?", "yes", 0], ["a?", "no", 0], ["a?", "pink", 1]])");
  EXPECT_EQ(data_error("test"),
            (folder_.path() / "test/questions.json").string() +
                " row 2: the answer 'pink' is not in the answer vocabulary; add it there, or "
                "correct the row");
}

TEST_F(EasyVqaTest, LearnsTheAnswersFromTrainWithoutAFile) {
  config_["processors"]["answer_processor"]["params"]["vocab_file"] = "";
  // red 20, no 10, yes 10
  const Sample first = sample(*open("test"), 0);
  EXPECT_TRUE(at::equal(first.tensor("targets"), at::tensor({0.0F, 1.0F, 0.0F, 0.0F})));
  EXPECT_TRUE(at::equal(sample(*open("test"), 3).tensor("targets"),  // image 1: no
                        at::tensor({0.0F, 0.0F, 1.0F, 0.0F})));
}

}  // namespace
}  // namespace pergola::host
