// SPDX-License-Identifier: BSD-3-Clause
// Training on several data sets at once.
#include "integration/run_test.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace pergola::test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;

const std::string kBoth = "dataset=[\"easy_vqa\", \"image_text\"]";

// easy_vqa and, as image_text, 14 + 4 + 6 texts about its images, with six answers as easy_vqa has,
// in French.
class TwoDataSetsTest : public RunTest {
 protected:
  TwoDataSetsTest() {
    const std::string folder = "data/image_text/";
    write(folder + "classes.txt", "<unk>\nrouge\nvert\nbleu\noui\nnon\n");
    static constexpr const char* kColours[] = {"rouge", "vert", "bleu"};
    for (const auto& [split, first, end] :
         {std::tuple("train", 0, 14), std::tuple("val", 14, 18), std::tuple("test", 18, 24)}) {
      std::string rows;
      for (int i = first; i < end; ++i) {
        rows += Json{{"text", "couleur?"},
                     {"image", std::to_string(i) + ".png"},
                     {"label", kColours[i % 3]}}
                    .dump() +
                "\n";
      }
      write(folder + split + std::string(".jsonl"), rows);
    }
  }
  [[nodiscard]] Words with(Words words) const {
    const std::string image_text = "dataset_config.image_text.";
    const std::string images = "\"../easy_vqa/train/images\"";
    const Words common = {
        kBoth, image_text + "image_size=[16, 16]",
        image_text + "images={train=" + images + ", val=" + images + ", test=" + images + "}",
        image_text + "processors.answer_processor.params.vocab_file=classes.txt"};
    words.insert(words.begin(), common.begin(), common.end());
    return words;
  }
  [[nodiscard]] Result train_both(const Words& more = {}) const { return train(with(more)); }
  // What the checkpoint in `carried` says about one of the images, without the data.
  [[nodiscard]] Result ask(const std::string& image, const Words& more = {}) const {
    Words words = {"predict", "--checkpoint", "carried", "--text", "couleur?", "--image", image};
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  }
};

TEST_F(TwoDataSetsTest, EachHasLossesMetricsAndPredictionsOfItsOwn) {
  const Result result = train_both(
      {"evaluation.metrics=[\"accuracy\", {type=\"accuracy\", key=\"top2\", params={topk=2}, "
       "datasets=[\"image_text\"]}]",
       "model_config.boring.losses=[\"cross_entropy\", {type=\"logit_bce\", "
       "datasets=[\"easy_vqa\"]}]"});
  expect_success(result);
  // 6 batches of 8 from easy_vqa's 43 or 44 samples (val is a tenth of its 24 images), 2 from 14.
  EXPECT_THAT(result.err,
              HasSubstr("[data] easy_vqa, image_text take turns by size_proportional: 8 "
                        "batches an epoch"));
  // They have the same number of answers, and other ones.
  EXPECT_THAT(result.err,
              HasSubstr("warning: [data] the data sets number the words of answer_processor "
                        "otherwise: number 1 is "));
  EXPECT_THAT(result.err, HasSubstr("\"rouge\" in image_text; a model that has one list for both "
                                    "mixes them"));
  std::set<std::string> trained;
  for (const Json& row : metrics()) {
    const std::string split = row.at("split");
    for (const auto& [key, unused] : row.items()) {
      if (split == "train") trained.insert(key);
    }
    if (split == "train") continue;
    for (const char* key :
         {"/easy_vqa/accuracy", "/easy_vqa/cross_entropy", "/easy_vqa/logit_bce",
          "/image_text/accuracy", "/image_text/cross_entropy", "/image_text/top2"}) {
      EXPECT_TRUE(row.contains(split + key)) << split << key;
    }
    EXPECT_FALSE(row.contains(split + "/easy_vqa/top2"));
    EXPECT_FALSE(row.contains(split + "/image_text/logit_bce"));
    const auto loss = [&](const char* key) { return row.at(split + key).get<double>(); };
    EXPECT_DOUBLE_EQ(loss("/total_loss"), loss("/easy_vqa/cross_entropy") +
                                              loss("/easy_vqa/logit_bce") +
                                              loss("/image_text/cross_entropy"));
  }
  EXPECT_THAT(trained, AllOf(Contains("train/easy_vqa/logit_bce"),
                             Contains("train/image_text/cross_entropy"),
                             Not(Contains("train/image_text/logit_bce"))));
  EXPECT_EQ(json("run/predictions/easy_vqa_test.json").size(), 12U);
  EXPECT_EQ(json("run/predictions/image_text_test.json").size(), 6U);
  EXPECT_EQ(json("run/predictions/image_text_val.json").size(), 4U);
  EXPECT_EQ(json("run/summary.json").at("dataset"), Json({"easy_vqa", "image_text"}));
}

TEST_F(TwoDataSetsTest, ACheckpointServesEachOfThem) {
  expect_success(train_both());
  const Json row = json("run/predictions/image_text_test.json").at(0);
  // One alone, by the config.
  const Result alone = pergola(
      {"test", "run/config.toml", "--checkpoint", "run/checkpoints/best", "dataset=image_text"});
  expect_success(alone);
  EXPECT_THAT(alone.out + alone.err,
              AllOf(HasSubstr("test/image_text/accuracy"), Not(HasSubstr("easy_vqa/"))));
  std::filesystem::rename(path("run/checkpoints/best"), path("carried"));
  std::filesystem::rename(path("data"), path("asked"));
  const std::string image = "asked/easy_vqa/train/images/18.png";
  const Result of_second = ask(image, {"dataset=image_text"});
  expect_success(of_second);
  const Json answer = Json::parse(of_second.out);
  EXPECT_EQ(answer.at("answer"), row.at("answer"));
  EXPECT_NEAR(answer.at("probability").get<double>(), row.at("probability").get<double>(), 1e-6);
  const Result of_first = ask(image);
  expect_success(of_first);
  const std::set<std::string> english = {"<unk>", "red", "green", "blue", "yes", "no"};
  EXPECT_TRUE(english.contains(Json::parse(of_first.out).at("answer")));
  EXPECT_FALSE(english.contains(answer.at("answer")));
  expect_error(ask(image, {"dataset=coco"}), kConfig, {"coco"});
}

TEST_F(TwoDataSetsTest, WordsThatMeanOthersAreFoundInEach) {
  expect_success(train_both({"training.max_updates=2"}));
  replace("data/image_text/classes.txt", "<unk>\nrouge\nbleu\nvert\noui\nnon\n");
  expect_error(pergola({"test", "run/config.toml", "--checkpoint", "run/checkpoints/last"}),
               kCheckpoint,
               {"other words than answer_processor of data set 'image_text' has",
                "number 2 was \"vert\" and is \"bleu\" now"});
}

// Both of the plugin own_data, 24 and 40 samples in batches of 8: three and five an epoch.
class TwoPluginDataSetsTest : public RunTest {
 protected:
  [[nodiscard]] static Words with(const Words& more) {
    Words words = {"--plugin-path",
                   fixture_folder("own_data").string(),
                   "dataset=[\"dots\", \"asked_dots\"]",
                   "dataset_config.asked_dots.samples=40",
                   "evaluation.metrics=[\"accuracy\"]",
                   "model_config.boring.losses=[\"cross_entropy\", {type=\"brier\", "
                   "datasets=[\"asked_dots\"]}]",
                   "evaluation.predict=false",
                   "run_type=train"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  [[nodiscard]] Result train_dots(const Words& more = {}) const { return train(with(more)); }
  [[nodiscard]] std::vector<Json> lines(const std::string& split, const char* run = "run") const {
    std::vector<Json> rows = metrics(run);
    std::erase_if(rows, [&](const Json& row) { return row.at("split") != split; });
    return rows;
  }
};

struct Stop {
  std::string strategy;  // words of multitasking
  int update;
  int per_epoch = 8;  // updates
};
void PrintTo(const Stop& stop, std::ostream* stream) {
  *stream << stop.strategy << " at " << stop.update;
}

class ResumedTurns : public TwoPluginDataSetsTest, public ::testing::WithParamInterface<Stop> {};
INSTANTIATE_TEST_SUITE_P(
    Strategies, ResumedTurns,
    ::testing::Values(Stop{"type=\"size_proportional\"", 5}, Stop{"type=\"round_robin\"", 11},
                      Stop{"type=\"temperature\", params={temperature=3}", 8},
                      Stop{"type=\"ratios\", params={sampling_ratios={dots=1, asked_dots=3}}", 3},
                      Stop{"type=\"random\"", 10}, Stop{"type=\"constant\", params={idx=1}", 7, 5},
                      Stop{"enabled=false", 4, 3}));

// An epoch has eight updates, or, where one data set is trained on alone, its own five or three:
// within the first one, within the second, and between the two. With workers in one part and none
// in the other.
TEST_P(ResumedTurns, EndWithTheBytesOfARunThatWasNotStopped) {
  const std::string multitasking = "multitasking={" + GetParam().strategy + "}";
  expect_success(train_dots({multitasking, "training.num_workers=2"}));
  Words parts = {"train", "boring.toml", "--run-dir", "parts"};
  const Words more = with({multitasking});
  parts.insert(parts.end(), more.begin(), more.end());
  parts.push_back("training.max_updates=" + std::to_string(GetParam().update));
  expect_success(pergola(parts));
  parts.back() = "--resume";
  expect_success(pergola(parts));
  EXPECT_TRUE(same_bytes(weights("parts"), weights("run")));
  EXPECT_TRUE(same_bytes("parts/checkpoints/last/trainer.safetensors",
                         "run/checkpoints/last/trainer.safetensors"));
  EXPECT_EQ(lines("train", "parts"), lines("train"));
  ASSERT_EQ(lines("train").size(), 12U);
  const auto last = static_cast<std::size_t>(GetParam().per_epoch) - 1;  // of the first epoch
  EXPECT_EQ(lines("train")[last - 1].at("epoch"), 0);
  EXPECT_EQ(lines("train")[last].at("epoch"), 1);
}

TEST_F(TwoPluginDataSetsTest, WithoutMultitaskingTheFirstIsTrainedOnAloneAndAllAreValidated) {
  expect_success(train_dots({"multitasking.enabled=false", "training.max_updates=8"}));
  for (const Json& row : lines("train")) {
    EXPECT_TRUE(row.contains("train/dots/cross_entropy"));
    EXPECT_FALSE(row.contains("train/asked_dots/cross_entropy"));
  }
  EXPECT_TRUE(lines("val").front().contains("val/asked_dots/accuracy"));
  expect_error(train_dots({"--resume", "multitasking.enabled=true"}), kCheckpoint,
               {"cannot be continued exactly with multitasking.enabled = true (it was false)"});
}

TEST_F(TwoPluginDataSetsTest, ARunGoesOnWithTheSameTurnsAlone) {
  expect_success(train_dots({"training.max_updates=3"}));
  expect_error(train_dots({"--resume", "multitasking.type=random"}), kCheckpoint,
               {"cannot be continued exactly with multitasking.type = \"random\" (it was "
                "\"size_proportional\")"});
  expect_error(train_dots({"--resume", "dataset=[\"asked_dots\", \"dots\"]"}), kCheckpoint,
               {"cannot be continued exactly with dataset"});
  expect_error(train_dots({"--resume", "dataset_config.asked_dots.samples=48"}), kCheckpoint,
               {"the number of training samples", "48"});
  expect_error(train_dots({"--resume", "training.limit_train_batches=4"}), kCheckpoint,
               {"training.limit_train_batches = 4 (it was 1.0)"});
}

TEST_F(TwoPluginDataSetsTest, ADataSetWithoutSamplesToValidateOnIsLeftOut) {
  const Result result = train_dots({"dataset_config.dots.val_samples=0"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[data] dots has no samples in its split val; it is not "
                                    "evaluated there"));
  for (const Json& row : lines("val")) {
    EXPECT_TRUE(row.contains("val/asked_dots/accuracy"));
    EXPECT_FALSE(row.contains("val/dots/accuracy"));
  }
}

TEST_F(TwoPluginDataSetsTest, WhatDoesNotFitIsRefusedAtOnce) {
  expect_error(train_dots({"multitasking={type=\"ratios\", params={sampling_ratios={dots=1}}}"}),
               kConfig, {"sampling_ratios has no ratio for data set 'asked_dots'"});
  expect_error(train_dots({"model_config.boring.losses=[{type=\"brier\", "
                           "datasets=[\"asked_dots\"]}]"}),
               kConfig, {"names no loss for data set 'dots'"});
  expect_error(
      train_dots(
          {"dataset=[\"dots\", \"easy_vqa\"]", "model_config.boring.losses=[\"cross_entropy\"]"}),
      kConfig,
      {"data sets 'dots' and 'easy_vqa' differ in num_final_outputs, which is 2 of the "
       "first and 6 of the second",
       "set model_config.boring.num_final_outputs to a number that suits both, or let both "
       "have the same words and classes"});
  expect_error(train_dots({"dataset=[\"dots\", \"easy_vqa\"]",
                           "model_config.boring.losses=[\"cross_entropy\"]",
                           "model_config.boring.num_final_outputs=4"}),
               kConfig, {"model_config.boring.num_final_outputs = 4", "is less than the 6"});
  expect_nothing_half_written();
}

// dots alone in three batches of 8: 24 samples, and as many for validation.
class LimitsTest : public TwoPluginDataSetsTest {
 protected:
  [[nodiscard]] Result train_one(const Words& more) const {
    Words words = {"dataset=dots", "model_config.boring.losses=[\"cross_entropy\"]",
                   "training.evaluation_interval=0"};
    words.insert(words.end(), more.begin(), more.end());
    return train_dots(words);
  }
  [[nodiscard]] std::vector<int> epochs() const {
    std::vector<int> epochs;
    for (const Json& row : lines("train")) epochs.push_back(row.at("epoch"));
    return epochs;
  }
};

TEST_F(LimitsTest, AnEpochHasNoMoreBatchesThanTheLimit) {
  expect_success(train_one({"training.limit_train_batches=2", "training.max_updates=5"}));
  EXPECT_THAT(epochs(), ::testing::ElementsAre(0, 1, 1, 2, 2));
}

TEST_F(LimitsTest, OfSeveralDataSetsItIsOfAllTogether) {
  expect_success(train_dots({"training.limit_train_batches=0.5", "training.max_updates=5"}));
  EXPECT_THAT(epochs(), ::testing::ElementsAre(0, 0, 0, 1, 1));  // four of three and five
}

// The same eight samples in each update, so without noise; val is not even read.
TEST_F(LimitsTest, OverfittingTrainsAndValidatesOnTheSameFewBatches) {
  const Result result = train_one({"training.overfit_batches=1", "training.max_updates=10"});
  expect_success(result);
  EXPECT_EQ(epochs().back(), 10);
  EXPECT_THAT(result.err, Not(HasSubstr("dots val: ")));
  const std::vector<Json> train = lines("train");
  const std::vector<Json> val = lines("val");
  for (std::size_t i = 1; i < train.size(); ++i) {
    EXPECT_LT(train[i].at("train/dots/cross_entropy"), train[i - 1].at("train/dots/cross_entropy"));
    // The loss of an update is that of the weights that the validation before it measured.
    EXPECT_NEAR(val[i - 1].at("val/dots/cross_entropy").get<double>(),
                train[i].at("train/dots/cross_entropy").get<double>(), 1e-6);
  }
}

}  // namespace
}  // namespace pergola::test
