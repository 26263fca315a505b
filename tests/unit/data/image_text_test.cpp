// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/image_text.h"

#include "fixtures/npy_bytes.h"
#include "host/data/defaults.h"
#include "host/data/loader.h"
#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <set>
#include <thread>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using fixtures::npy_file;
using fixtures::npy_header;
using fixtures::npy_of;
using test::error_of;
using test::png_of;
using test::Rgb;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Four rows of train about two images, two of test about others.
class ImageTextTest : public testing::Test {
 protected:
  ImageTextTest() {
    root_ = fs::canonical(folder_.path());
    for (int i = 0; i < 4; ++i) {
      const auto shade = static_cast<std::uint8_t>(50 * i);
      folder_.write(concat("img/", i, ".png"), png_of(4, 4, Rgb{shade, 0, 0}));
      const auto value = static_cast<float>(i);
      folder_.write(concat("npy/", i, ".npy"), npy_of({value, 1, 2, value, 4, 5}, 3));
    }
    write_rows("train", {R"("id": "a", "text": "a red dog", "image": "0.png", "label": 1)",
                         R"("id": "b", "text": "a cat", "image": "0.png", "label": 0)",
                         R"("id": "c", "text": "a dog", "image": "1.png", "label": 1)",
                         R"("id": "d", "text": "two cats", "image": "1.png", "label": 2)"});
    write_rows("test", {R"("id": 7, "text": "a cat", "image": "2.png", "label": 0)",
                        R"("text": "a dog", "image": "3.png", "label": 1)"});
    config_["data_dir"] = root_.string();
    config_["image_size"] = Value::Array{2, 3};
    for (const char* split : {"train", "val", "test"}) {
      config_["images"][split] = "img";
      config_["features"][split] = "npy";
    }
  }
  void write_rows(const std::string& split, const Strings& rows) const {
    std::string text;
    for (const std::string& row : rows) text += "{" + row + "}\n";
    folder_.write(split + ".jsonl", text);
  }
  std::unique_ptr<Dataset> open(const std::string& split) {
    const DatasetOptions options{"image_text", split, Config(config_, "dataset_config.image_text"),
                                 "unused", registry_};
    return registry_.make_dataset(options);
  }
  std::string error(const std::string& split = "train", ErrorKind kind = ErrorKind::kData) {
    return error_of(kind, [&] { (void)open(split); });
  }
  // Of a data set that opens, when its first sample is asked for.
  std::string sample_error(const std::string& split = "train") {
    const auto dataset = open(split);
    return error_of(ErrorKind::kData, [&] { (void)sample(*dataset, 0); });
  }
  [[nodiscard]] std::string at_line(const std::string& split, int line) const {
    return concat((root_ / (split + ".jsonl")).string(), ":", line, ": ");
  }
  static Sample sample(const Dataset& dataset, std::int64_t index) {
    Rng rng(0);
    return dataset.get(index, rng);
  }
  static Strings names(const Sample& sample) {
    Strings result;
    for (const auto& [name, field] : sample.fields()) result.push_back(name);
    return result;
  }
  void take_soft_answers(const std::string& file = "") {
    config_["processors"]["answer_processor"] =
        Value::Table{{"type", "vqa_answer"}, {"params", Value::Table{{"vocab_file", file}}}};
  }
  TempFolder folder_;
  fs::path root_;
  Value config_ = image_text_defaults();
  Registry registry_ = test::data_registry();
};

TEST_F(ImageTextTest, HasTextImageAndClass) {
  const auto dataset = open("test");
  ASSERT_EQ(dataset->size(), 2);
  const Sample first = sample(*dataset, 0);
  EXPECT_THAT(names(first), ElementsAre("answers", "image", "row", "targets", "text", "text_len"));
  EXPECT_EQ(first.tensor("text").sizes(), (at::IntArrayRef{20}));
  EXPECT_EQ(first.tensor("text_len").item<int>(), 2);
  EXPECT_EQ(first.tensor("image").sizes(), (at::IntArrayRef{3, 2, 3}));
  EXPECT_EQ(first.tensor("image").scalar_type(), at::kFloat);
  EXPECT_FLOAT_EQ(first.tensor("image")[0][1][2].item<float>(), 100 / 255.F * 2 - 1);
  EXPECT_EQ(first.tensor("targets").scalar_type(), at::kLong);
  EXPECT_EQ(first.tensor("targets").item<int>(), 0);
  EXPECT_THAT(first.strings("answers"), ElementsAre("0"));
}

// 4 special words, then a, dog, cat, red, two, cats. Labels are 0 to 2.
TEST_F(ImageTextTest, TellsTheModelItsSizes) {
  const Value expected = Value::Table{{"text_vocab_size", 10},
                                      {"num_final_outputs", 3},
                                      {"answers", Value::Array{"0", "1", "2"}},
                                      {"image_height", 2},
                                      {"image_width", 3}};
  EXPECT_EQ(open("train")->facts(), expected);
  EXPECT_EQ(open("test")->facts(), expected);
}

TEST_F(ImageTextTest, ReadsFeaturesOfSeveralFiles) {
  write_rows("train", {R"("text": "a", "features": ["1.npy", "2.npy"], "label": 0)"});
  config_["max_features"] = 4;
  const auto dataset = open("train");
  const Sample first = sample(*dataset, 0);
  EXPECT_THAT(names(first),
              ElementsAre("answers", "image_feature_0", "image_feature_1", "image_info_0",
                          "image_info_1", "row", "targets", "text", "text_len"));
  EXPECT_TRUE(at::equal(
      first.tensor("image_feature_1"),
      at::tensor({2.F, 1.F, 2.F, 2.F, 4.F, 5.F, 0.F, 0.F, 0.F, 0.F, 0.F, 0.F}).view({4, 3})));
  EXPECT_EQ(first.group("image_info_1").tensor("max_features").item<int>(), 2);
  EXPECT_EQ(dataset->facts().find("image_feature_dim")->as_integer(), 3);
  EXPECT_EQ(dataset->facts().find("visual_embedding_dim")->as_integer(), 3);
  EXPECT_EQ(dataset->facts().find("image_height"), nullptr);
}

TEST_F(ImageTextTest, CutsFeaturesToTheRegionsThatTheConfigWants) {
  write_rows("train", {R"("text": "a", "features": "1.npy", "label": 0)"});
  config_["max_features"] = 1;
  const Sample first = sample(*open("train"), 0);
  EXPECT_TRUE(at::equal(first.tensor("image_feature_0"), at::tensor({1.F, 1.F, 2.F}).view({1, 3})));
  EXPECT_EQ(first.group("image_info_0").tensor("max_features").item<int>(), 1);
}

TEST_F(ImageTextTest, FeaturesHaveTheTypeOfTheConfig) {
  write_rows("train", {R"("text": "a", "features": "1.npy", "label": 0)"});
  for (const auto& [name, type] :
       {std::pair("float32", at::kFloat), std::pair("float16", at::kHalf),
        std::pair("bfloat16", at::kBFloat16)}) {
    config_["feature_dtype"] = name;
    EXPECT_EQ(sample(*open("train"), 0).tensor("image_feature_0").scalar_type(), type);
  }
  config_["feature_dtype"] = "half";
  EXPECT_THAT(error_of(ErrorKind::kConfig, [&] { (void)open("train"); }),
              HasSubstr("feature_dtype"));
}

// What MMF's NLVR2 has: img0 and img1, each with image_feature_0 and image_info_0.
TEST_F(ImageTextTest, PairsTwoImagesAndTheirFeatures) {
  const std::string row =
      R"("sentence": "both", "image": ["1.png", "2.png"], "features": ["1.npy", "2.npy"])";
  write_rows("train", {row + R"(, "label": "True")", row + R"(, "label": "False")"});
  config_["paired"] = true;
  const auto dataset = open("train");
  std::vector<Sample> samples;
  samples.push_back(sample(*dataset, 0));
  samples.push_back(sample(*dataset, 1));
  EXPECT_THAT(names(samples[0]),
              ElementsAre("answers", "img0", "img1", "row", "targets", "text", "text_len"));
  const SampleList batch = SampleList::collate(samples);
  const SampleList& right = batch.group("img1");
  EXPECT_EQ(right.tensor("image").sizes(), (at::IntArrayRef{2, 3, 2, 3}));
  EXPECT_EQ(right.tensor("image_feature_0").sizes(), (at::IntArrayRef{2, 100, 3}));
  EXPECT_EQ(right.tensor("image_feature_0")[0][0][0].item<float>(), 2.F);
  EXPECT_TRUE(at::equal(right.group("image_info_0").tensor("max_features"), at::tensor({2L, 2L})));
  EXPECT_EQ(batch.group("img0").tensor("image_feature_0")[0][0][0].item<float>(), 1.F);
  EXPECT_TRUE(at::equal(batch.tensor("targets"), at::tensor({1L, 0L})));  // false, true
}

TEST_F(ImageTextTest, StacksSeveralImagesThatAreNoPair) {
  write_rows("train", {R"("text": "a", "image": ["1.png", "2.png", "3.png"], "label": 0)"});
  const Sample first = sample(*open("train"), 0);
  EXPECT_EQ(first.tensor("image").sizes(), (at::IntArrayRef{3, 3, 2, 3}));
  EXPECT_FLOAT_EQ(first.tensor("image")[2][0][0][0].item<float>(), 150 / 255.F * 2 - 1);
}

TEST_F(ImageTextTest, LeavesImagesAsTheyAreAndThenNeedsOneSize) {
  config_["image_size"] = Value::Array{};
  folder_.write("img/1.png", png_of(5, 4, Rgb{}));
  const auto dataset = open("train");
  EXPECT_EQ(sample(*dataset, 0).tensor("image").sizes(), (at::IntArrayRef{3, 4, 4}));
  EXPECT_EQ(dataset->facts().find("image_width")->as_integer(), 4);
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { (void)sample(*dataset, 2); }),
            at_line("train", 3) + "image " + (root_ / "img/1.png").string() +
                " is 5 x 4 pixels, but the first one is 4 x 4; set image_size, to which all are "
                "resized");
}

// Of ten answers four are yes, which scores 1; three no, 0.9; the others are not in the list.
TEST_F(ImageTextTest, TenAnswersGiveSoftScores) {
  folder_.write("answers.txt", "no\nyes\n");
  take_soft_answers("answers.txt");
  write_rows("train", {R"("question": "is it?", "image": "0.png", "answers": ["yes", "yes", "yes",)"
                       R"( "yes", "no", "no", "no", "a", "b", "c"])"});
  const auto dataset = open("train");
  const Sample first = sample(*dataset, 0);
  EXPECT_TRUE(at::allclose(first.tensor("targets"), at::tensor({0.F, 0.9F, 1.F})));  // <unk> first
  EXPECT_EQ(dataset->facts().find("num_final_outputs")->as_integer(), 3);
}

TEST_F(ImageTextTest, ASoftAnswerNeedNotBeKnownButALabelMust) {
  folder_.write("answers.txt", "no\nyes\n");
  take_soft_answers("answers.txt");
  write_rows("train", {R"("text": "a", "image": "0.png", "answer": "perhaps")"});
  EXPECT_TRUE(at::equal(sample(*open("train"), 0).tensor("targets"), at::zeros({3})));
  write_rows("train", {R"("text": "a", "image": "0.png", "label": "perhaps")"});
  EXPECT_EQ(error(), at_line("train", 1) +
                         "the label 'perhaps' is not in the answer vocabulary; add it there, or "
                         "correct the row");
  write_rows("train", {R"("text": "a", "image": "0.png", "label": 1)"});
  EXPECT_EQ(error(), at_line("train", 1) +
                         "label is the number 1, but the answer processor 'vqa_answer' takes "
                         "words; take 'class_label', or write the word");
}

TEST_F(ImageTextTest, SetsRowsAsideByTheirImage) {
  config_["annotations"]["val"] = "";
  config_["split_train"]["val"] = 0.5;
  const auto train = open("train");
  const auto val = open("val");
  ASSERT_EQ(train->size(), 2);
  ASSERT_EQ(val->size(), 2);
  const auto row = [](const Dataset& dataset, std::int64_t index) {
    return sample(dataset, index).tensor("row").item<int>();
  };
  // Rows 0 and 1 are of one image, 2 and 3 of the other.
  EXPECT_EQ(row(*train, 0) / 2, row(*train, 1) / 2);
  EXPECT_NE(row(*train, 0) / 2, row(*val, 0) / 2);
  EXPECT_EQ(val->facts(), train->facts());
  config_["split_train"]["val"] = 1.0;
  EXPECT_THAT(error("train", ErrorKind::kConfig),
              StartsWith("split 'train' of data set 'image_text' is empty, since "
                         "dataset_config.image_text.split_train.val = 1"));
}

TEST_F(ImageTextTest, ValIsAFileOrAPartOfTrain) {
  write_rows("val", {R"("text": "a", "image": "0.png", "label": 0)"});
  EXPECT_EQ(open("val")->size(), 1);
  config_["split_train"]["val"] = 0.5;
  EXPECT_EQ(
      error("val", ErrorKind::kConfig),
      "dataset_config.image_text.split_train.val = 0.5 sets a part of train aside for val, "
      "which has a file of its own; set it to 0, or dataset_config.image_text.annotations.val "
      "= \"\"");
  config_["split_train"]["val"] = 0;
  config_["annotations"]["val"] = "";
  EXPECT_EQ(error("val", ErrorKind::kConfig),
            "dataset_config.image_text.annotations.val = \"\" names no file, and nothing of train "
            "is set aside for val; name a file, or set dataset_config.image_text.split_train.val = "
            "0.1");
  EXPECT_EQ(error("tset", ErrorKind::kConfig),
            "data set 'image_text' has no split 'tset'; did you mean 'test'?");
}

TEST_F(ImageTextTest, ATestSplitNeedsNoTargets) {
  write_rows("test", {R"("text": "a cat", "image": "2.png")", R"("text": "a", "image": "3.png")"});
  EXPECT_THAT(names(sample(*open("test"), 0)), ElementsAre("image", "row", "text", "text_len"));
  write_rows("train", {R"("text": "a cat", "image": "2.png")"});
  EXPECT_EQ(open("train")->facts().find("num_final_outputs"), nullptr);
  write_rows("test", {R"("text": "a cat", "image": "2.png", "label": 1)"});
  EXPECT_EQ(error("test"),
            at_line("test", 1) + "the row has a target, but those of " +
                (root_ / "train.jsonl").string() +
                ", from which the answers are learnt, have none; add label, answer or answers "
                "there");
}

Report report_of(const Dataset& dataset, at::Tensor scores) {
  std::vector<Sample> samples;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    Rng rng(0);
    samples.push_back(dataset.get(i, rng));
  }
  Report report{SampleList::collate(samples), {}};
  report.output.scores = std::move(scores);
  return report;
}

// Softmax of ln 2, 0, 0 is 1/2, 1/4, 1/4. The second row has no id: it is in line 2.
TEST_F(ImageTextTest, PredictsWithIdAnswerAndProbability) {
  const auto dataset = open("test");
  const float ln2 = std::log(2.F);
  const auto rows = dataset->format_for_prediction(
      report_of(*dataset, at::tensor({ln2, 0.F, 0.F, 0.F, 0.F, ln2}).view({2, 3})));
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(*rows[0].find("id"), Value(7));
  EXPECT_EQ(*rows[0].find("answer"), Value("0"));
  EXPECT_NEAR(rows[0].find("probability")->as_float(), 0.5, 1e-6);
  EXPECT_EQ(*rows[1].find("id"), Value(2));
  EXPECT_EQ(*rows[1].find("answer"), Value("2"));
}

// What a report shows of a row, and judges it by. An answer that two people gave is there once.
TEST_F(ImageTextTest, PredictsBesideTextImageAndWhatIsRight) {
  const auto rows_of = [](const Dataset& dataset, const at::Tensor& scores) {
    return dataset.format_for_prediction(report_of(dataset, scores));
  };
  const auto labelled = rows_of(*open("test"), at::zeros({2, 3}));
  EXPECT_EQ(*labelled[1].find("text"), Value("a dog"));
  EXPECT_EQ(*labelled[1].find("image"), Value((root_ / "img/3.png").string()));
  EXPECT_EQ(*labelled[1].find("target"), Value("1"));
  take_soft_answers();
  write_rows("train",
             {R"("text": "a", "image": ["0.png", "1.png"], "answers": ["yes", "no", "no"])"});
  const auto several = rows_of(*open("train"), at::zeros({1, 3}));
  EXPECT_EQ(*several[0].find("target"), Value(Value::Array{"yes", "no"}));
  EXPECT_EQ(*several[0].find("image"),
            Value(Value::Array{(root_ / "img/0.png").string(), (root_ / "img/1.png").string()}));
  write_rows("train", {R"("text": "a", "features": "0.npy", "answers": ["yes"])"});
  write_rows("test", {R"("text": "a", "features": "0.npy")"});
  const auto plain = rows_of(*open("test"), at::zeros({1, 2}));
  EXPECT_EQ(plain[0].find("target"), nullptr);
  EXPECT_EQ(plain[0].find("image"), nullptr);
}

// Sigmoid of ln 3 is 3/4: soft scores are of every answer alone.
TEST_F(ImageTextTest, PredictsSoftAnswersOneByOne) {
  take_soft_answers();
  write_rows("train", {R"("text": "a", "image": "0.png", "answers": ["yes", "no", "no"])"});
  const auto dataset = open("train");
  const auto rows = dataset->format_for_prediction(
      report_of(*dataset, at::tensor({0.F, std::log(3.F), 1.F}).view({1, 3})));
  EXPECT_EQ(*rows[0].find("answer"), Value("no"));
  EXPECT_NEAR(rows[0].find("probability")->as_float(), 0.75, 1e-6);
}

TEST_F(ImageTextTest, RefusesScoresThatDoNotFit) {
  const auto dataset = open("test");
  EXPECT_EQ(error_of(ErrorKind::kConfig,
                     [&] { (void)dataset->format_for_prediction(report_of(*dataset, {})); }),
            "predictions are made from scores, and the model returned none, only losses of its "
            "own; return scores of [batch, 3] from the model, or set evaluation.predict = false");
  const Report report = report_of(*dataset, at::zeros({2, 4}));
  EXPECT_EQ(error_of(ErrorKind::kConfig, [&] { (void)dataset->format_for_prediction(report); }),
            "the model's scores are [2, 4], but there are 3 answers; leave num_final_outputs to "
            "the data set, or set evaluation.predict = false");
}

TEST_F(ImageTextTest, NamesFileAndLineOfABadRow) {
  const std::string good = R"("text": "a cat", "image": "0.png", "label": 0)";
  const std::pair<const char*, std::string> cases[] = {
      {R"("image": "0.png", "label": 0)",
       "the row has none of text, question and sentence; correct the row"},
      {R"("text": "a", "image": ["0.png", "1.png"], "label": 0)",
       "the row has 2 of image, but the first row has 1; all rows of a split must be alike"},
      {R"("text": "a", "image": "0.png", "features": "0.npy", "label": 0)",
       "the row has 1 of features, but the first row has 0; all rows of a split must be alike"},
      {R"("text": "a", "image": "0.png")",
       "the row has none of label, answer and answers, but the first row has one; all rows of a "
       "split must be alike"},
      {R"("text": "?", "image": "0.png", "label": 0)",
       "the question '?' has no words; give it some, or remove it"},
      {R"("text": "a", "image": "../img/0.png", "label": 0)",
       "the path '../img/0.png' has '..' in it, expected one inside of " +
           (root_ / "img").string() +
           "; correct the row, or set dataset_config.image_text.images.train"},
      {R"("text": "a", "image": "9.png", "label": 0)",
       "there is no file " + (root_ / "img/9.png").string() +
           "; restore it, remove the row, or set dataset_config.image_text.images.train to where "
           "the files are"},
  };
  for (const auto& [row, expected] : cases) {
    write_rows("train", {good, row});
    EXPECT_EQ(error(), at_line("train", 2) + expected);
  }
}

TEST_F(ImageTextTest, RefusesALabelBeyondTheList) {
  folder_.write("classes.txt", "cat\ndog\n");
  config_["processors"]["answer_processor"]["params"]["vocab_file"] = "classes.txt";
  EXPECT_EQ(error(), at_line("train", 4) +
                         "the label 2 is not one of the 2 classes, expected 0 to 1; correct the "
                         "row, or add to the vocab_file of processor 'class_label'");
}

// Of words that train has sorted, a number would mean whichever comes to stand there.
TEST_F(ImageTextTest, RefusesNumbersAmongWordsAsLabels) {
  write_rows("train", {R"("text": "a", "image": "0.png", "label": "cat")",
                       R"("text": "b", "image": "0.png", "label": 0)"});
  EXPECT_THAT(error(), StartsWith(at_line("train", 2) + "the label is the number 0, but"));
  write_rows("train", {R"("text": "a", "image": "0.png", "label": "cat")"});
  EXPECT_THAT(error("test"), StartsWith(at_line("test", 1) + "the label is the number 0, but"));
}

TEST_F(ImageTextTest, FindsBadFeaturesWithTheLine) {
  const std::string row = R"("text": "a", "features": "0.npy", "label": 0)";
  write_rows("train", {row, R"("text": "a", "features": "bad.npy", "label": 0)"});
  const std::string name = "features " + (root_ / "npy/bad.npy").string();
  folder_.write("npy/bad.npy", npy_of({1, 2}, 2));
  const auto read_second = [&] {
    const auto dataset = open("train");
    return error_of(ErrorKind::kData, [&] { (void)sample(*dataset, 1); });
  };
  EXPECT_EQ(read_second(), at_line("train", 2) + name +
                               " are 2 wide, expected 3 as in the first row; extract all with one "
                               "detector, or set feature_dim");
  folder_.write("npy/bad.npy", npy_file(npy_header("|O", "(1, 3)"), "\x80"));
  EXPECT_THAT(read_second(), StartsWith(at_line("train", 2) + name + " holds Python objects"));
  config_["feature_dim"] = 5;
  EXPECT_EQ(sample_error(), at_line("train", 1) + "features " + (root_ / "npy/0.npy").string() +
                                " are 3 wide, expected 5, the feature_dim of the config; extract "
                                "all with one detector, or set feature_dim");
}

TEST_F(ImageTextTest, APairIsTwo) {
  config_["paired"] = true;
  EXPECT_EQ(error(), at_line("train", 1) +
                         "the row has 1 of image, expected two, since paired = true; correct the "
                         "row, or set it to false");
}

TEST_F(ImageTextTest, WithoutTheCheckFilesAreMissedWhenTheyAreRead) {
  write_rows("train", {R"("text": "a", "image": "9.png", "label": 0)"});
  config_["check_rows"] = false;
  EXPECT_THAT(sample_error(), StartsWith(at_line("train", 1) + "there is no file " +
                                         (root_ / "img/9.png").string()));
}

TEST_F(ImageTextTest, SaysWhereItsFilesAreExpected) {
  fs::remove(root_ / "train.jsonl");
  EXPECT_EQ(error(), "data set 'image_text' has no file " + (root_ / "train.jsonl").string() +
                         "; write one JSON object a line there, or set "
                         "dataset_config.image_text.data_dir or "
                         "dataset_config.image_text.annotations.train to where it is");
  config_["data_dir"] = "";
  EXPECT_THAT(error(), HasSubstr("has no file unused/image_text/train.jsonl;"));
}

TEST_F(ImageTextTest, RefusesUnknownKeysAndSizes) {
  config_["images"]["tarin"] = "x";
  EXPECT_THAT(error("train", ErrorKind::kConfig),
              HasSubstr("dataset_config.image_text.images.tarin"));
  config_["images"].as_table().erase("tarin");
  config_["image_size"] = Value::Array{224};
  EXPECT_EQ(error("train", ErrorKind::kConfig),
            "dataset_config.image_text.image_size = [224] must be [height, width], each from 1 to "
            "8000, or [], which leaves images as they are");
}

TEST_F(ImageTextTest, GivesTheSameFromAnyThread) {
  const auto dataset = open("train");
  std::vector<std::jthread> threads;
  std::atomic<int> wrong{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const Sample item = sample(*dataset, i % 4);
        if (item.tensor("row").item<int>() != i % 4) ++wrong;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace pergola::host
