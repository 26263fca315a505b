// SPDX-License-Identifier: BSD-3-Clause
// What a run leaves behind, and that its numbers are the same wherever they are computed.
#include "integration/easy_vqa_files.h"
#include "integration/run_test.h"

#include <set>

namespace pergola::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A tenth of train's images is set aside: llround(0.1 * 24) = 2.
constexpr int kValImages = 2;

class TrainTest : public RunTest {};

TEST_F(TrainTest, RunFolderHoldsWhatItShouldAndNoTemporaryFile) {
  expect_success(train());
  std::vector<std::string> expected = {".lock",
                                       "config.toml",
                                       "log.txt",
                                       "metrics.jsonl",
                                       "summary.json",
                                       "checkpoints/",
                                       "predictions/",
                                       "predictions/easy_vqa_test.json",
                                       "predictions/easy_vqa_val.json"};
  for (const char* name : {"best", "last", "update_00000003", "update_00000006", "update_00000009",
                           "update_00000012"}) {
    const std::string folder = std::string("checkpoints/") + name + "/";
    expected.push_back(folder);
    for (const char* file :
         {"MANIFEST.json", "model.safetensors", "state.json", "trainer.safetensors"}) {
      expected.push_back(folder + file);
    }
  }
  EXPECT_THAT(listing("run"), ::testing::UnorderedElementsAreArray(expected));
}

TEST_F(TrainTest, MetricsLineForEachLogAndEvaluationPoint) {
  expect_success(train());
  std::vector<std::string> points;
  for (const Json& row : metrics()) {
    points.push_back(row.at("split").get<std::string>() +
                     std::to_string(row.at("update").get<int>()));
  }
  EXPECT_THAT(points, ElementsAre("train1", "train2", "train3", "train4", "val4", "train5",
                                  "train6", "train7", "train8", "val8", "train9", "train10",
                                  "train11", "train12", "val12", "val12", "test12"));
}

TEST_F(TrainTest, MetricsEndWithTheEvaluationOfTheBestWeights) {
  expect_success(train({"optimizer.params.lr=0.3"}));  // so that the last are not the best
  const Json summary = json("run/summary.json");
  const std::vector<Json> rows = metrics();
  ASSERT_GE(rows.size(), 2U);
  const Json& val = rows[rows.size() - 2];
  const Json& test = rows.back();
  EXPECT_EQ(val.at("split"), "val");
  EXPECT_EQ(test.at("split"), "test");
  for (const Json& row : {val, test}) {
    EXPECT_EQ(row.at("checkpoint"), "best");
    EXPECT_EQ(row.at("update"), summary.at("best").at("update"));
  }
  EXPECT_EQ(val.at("val/total_loss"), summary.at("metrics").at("val/total_loss"));
  EXPECT_EQ(test.at("test/easy_vqa/accuracy"), summary.at("metrics").at("test/easy_vqa/accuracy"));
}

TEST_F(TrainTest, MetricsLinesHaveMmfsKeys) {
  expect_success(
      train({"training.max_updates=4", "training.evaluate_metrics=true", "run_type=train"}));
  const std::vector<Json> rows = metrics();
  ASSERT_EQ(rows.size(), 5U);
  const auto keys = [](const Json& row) {
    std::vector<std::string> names;
    for (const auto& item : row.items()) names.push_back(item.key());
    return names;
  };
  EXPECT_THAT(keys(rows[3]),
              ElementsAre("epoch", "lr", "split", "train/easy_vqa/accuracy",
                          "train/easy_vqa/cross_entropy", "train/easy_vqa/cross_entropy/avg",
                          "train/total_loss", "train/total_loss/avg", "update"));
  EXPECT_THAT(keys(rows[4]), ElementsAre("epoch", "split", "update", "val/easy_vqa/accuracy",
                                         "val/easy_vqa/cross_entropy", "val/total_loss"));
  EXPECT_EQ(rows[3].at("lr"), 0.01);
}

TEST_F(TrainTest, MetricsCountEpochsFromTheBatchesOfTrain) {
  // 22 images x 2 questions = 44 samples, 6 batches of 8: update 6 ends epoch 0, update 12 epoch 1.
  static_assert((kTrainImages - kValImages) * kQuestionsPerImage == 44);
  expect_success(train());
  std::vector<int> epochs;
  for (const Json& row : metrics()) {
    if (row.at("split") == "train") epochs.push_back(row.at("epoch").get<int>());
  }
  EXPECT_THAT(epochs, ElementsAre(0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2));
}

TEST_F(TrainTest, SummarySaysHowTheRunEnded) {
  expect_success(train());
  const Json summary = json("run/summary.json");
  EXPECT_EQ(summary.at("status"), "finished");
  EXPECT_EQ(summary.at("updates"), 12);
  EXPECT_GT(summary.at("seconds").get<double>(), 0);
  EXPECT_EQ(summary.at("device"), "cpu (1 thread)");
  EXPECT_EQ(summary.at("model"), "boring");
  EXPECT_EQ(summary.at("dataset"), "easy_vqa");
  EXPECT_EQ(summary.at("plugin").at("name"), "good");
  EXPECT_EQ(summary.at("plugin").at("version"), "0.1.0");
  EXPECT_EQ(summary.at("plugin").at("sha256").get<std::string>().size(), 64U);
  EXPECT_EQ(summary.at("best").at("criteria"), "val/total_loss");
  EXPECT_FALSE(summary.contains("error"));
  for (const char* key : {"val/easy_vqa/accuracy", "val/total_loss", "test/easy_vqa/accuracy",
                          "test/easy_vqa/cross_entropy", "test/total_loss"}) {
    EXPECT_TRUE(summary.at("metrics").contains(key)) << key;
  }
}

TEST_F(TrainTest, BestIsTheLowestValidationLossAndItsWeightsAreEvaluated) {
  expect_success(train({"optimizer.params.lr=0.3"}));  // so that it goes up and down
  Json best;
  for (const Json& row : metrics()) {
    if (row.at("split") != "val") continue;
    if (best.is_null() || row.at("val/total_loss") < best.at("val/total_loss")) best = row;
  }
  const Json summary = json("run/summary.json");
  EXPECT_EQ(summary.at("best").at("update"), best.at("update"));
  EXPECT_EQ(summary.at("best").at("value"), best.at("val/total_loss"));
  EXPECT_EQ(summary.at("metrics").at("val/total_loss"), best.at("val/total_loss"));
  EXPECT_EQ(json("run/checkpoints/best/state.json").at("progress").at("update"), best.at("update"));
}

TEST_F(TrainTest, PredictionsHaveARowForEachQuestion) {
  expect_success(train());
  const Json rows = json("run/predictions/easy_vqa_test.json");
  ASSERT_EQ(rows.size(), static_cast<std::size_t>(kTestImages * kQuestionsPerImage));
  EXPECT_EQ(json("run/predictions/easy_vqa_val.json").size(),
            static_cast<std::size_t>(kValImages * kQuestionsPerImage));
  const std::set<std::string> answers = {"red", "green", "blue", "yes", "no"};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].at("question_id"), i);
    EXPECT_EQ(rows[i].at("image_id"), i / kQuestionsPerImage);
    EXPECT_EQ(rows[i].at("question"),
              i % 2 == 0 ? "what color is the shape?" : "is the shape red?");
    EXPECT_TRUE(answers.contains(rows[i].at("answer"))) << rows[i];
  }
}

TEST_F(TrainTest, PredictionsGiveTheAccuracyOfTheSummary) {
  expect_success(train({"training.max_updates=60"}));
  const Json rows = json("run/predictions/easy_vqa_test.json");
  const Json truth = json("data/easy_vqa/test/questions.json");
  ASSERT_EQ(rows.size(), truth.size());
  int right = 0;
  for (std::size_t i = 0; i < rows.size(); ++i)
    right += rows[i].at("answer") == truth[i][1] ? 1 : 0;
  EXPECT_NEAR(json("run/summary.json").at("metrics").at("test/easy_vqa/accuracy").get<double>(),
              right / 12.0, 1e-12);
  EXPECT_GT(right, 4);  // it has learned something: 4 of 12 is what "no" alone gives
}

TEST_F(TrainTest, StdoutHasTheResultsAndStderrTheLog) {
  const Result result = train();
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("\ntest/total_loss "));
  EXPECT_THAT(result.out, HasSubstr("\nstatus finished\nupdates 12\nrun run\n"));
  EXPECT_THAT(result.out, HasSubstr("\ncheckpoint run/checkpoints/best\n"));
  EXPECT_THAT(result.out, HasSubstr("\npredictions run/predictions/easy_vqa_test.json\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("[train]")));
  for (const char* line : {"[run] seed 1234", "[device] cpu (1 thread)",
                           "[plugin] good 0.1.0 from ", "[data] easy_vqa train: 44 samples",
                           "[model] boring: ", "[train] update 12/12: ", "[val] update 12: "}) {
    EXPECT_THAT(result.err, HasSubstr(line));
    EXPECT_THAT(text("run/log.txt"), HasSubstr(line));
  }
}

TEST_F(TrainTest, ConfigOfTheRunTrainsAgainToTheSameNumbers) {
  expect_success(train({"training.seed=7", "model_config.boring.hidden_dim=5"}));
  expect_success(pergola({"train", "run/config.toml", "--run-dir", "again"}));
  EXPECT_EQ(metrics("again"), metrics("run"));
  EXPECT_TRUE(same_bytes(weights("again"), weights("run")));
}

TEST_F(TrainTest, WordsOfRunTypeSayWhatIsEvaluated) {
  expect_success(train({"run_type=train", "training.max_updates=2"}));
  EXPECT_EQ(json("run/summary.json").at("metrics"), Json::object());
  EXPECT_THAT(listing("run"), Not(Contains("predictions/")));
}

TEST_F(TrainTest, RunTypeWithoutTrainEvaluatesTheRunThatIsThere) {
  const Result trained = train();
  expect_success(trained);
  const Result result = train({"run_type=val_test"});
  expect_success(result);
  const std::string metrics_of_training = trained.out.substr(0, trained.out.find("status "));
  EXPECT_THAT(result.out, ::testing::StartsWith(metrics_of_training));
}

// All that is said about the plugin is of the file that was loaded.
TEST_F(TrainTest, PluginThatIsRemovedDuringTheRunDoesNotDisturbIt) {
  write("plugins/good.so", read_file(fixture_plugin("good")));
  const Words words = {"plugins.path=[]",
                       "--plugin-path",
                       "plugins",
                       "training.max_updates=1000",
                       "training.evaluation_interval=1000",
                       "training.checkpoint_interval=100"};
  Process process(train_launch(words));
  ASSERT_TRUE(wait_until(process, [&] { return !text("run/metrics.jsonl").empty(); }));
  std::filesystem::remove(path("plugins/good.so"));
  const Result result = process.wait();
  expect_success(result);
  const Json plugin = json("run/summary.json").at("plugin");
  EXPECT_EQ(plugin.at("sha256").get<std::string>().size(), 64U);
  EXPECT_EQ(json("run/checkpoints/last/state.json").at("plugin"), plugin);
}

class EachModel : public RunTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, EachModel,
                         ::testing::Values("boring", "cnn_lstm", "pythia", "visual_bert", "mmbt",
                                           "concat_bert", "concat_bow", "late_fusion"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(EachModel, ValidateTestAndPredictGiveTheNumbersOfTheRun) {
  const std::string config = std::string(GetParam()) + ".toml";
  const Result trained = train({}, GetParam());
  expect_success(trained);
  const std::string predictions = text("run/predictions/easy_vqa_val.json");
  const auto lines_of = [&trained](const std::string& split) {
    const std::size_t begin = trained.out.find(split + "/");
    return trained.out.substr(
        begin, trained.out.find("\n", trained.out.find(split + "/total_loss")) - begin);
  };
  const Result validated = pergola({"validate", config, "--run-dir", "run"});
  expect_success(validated);
  EXPECT_THAT(validated.out, ::testing::StartsWith(lines_of("val")));
  const Result tested = pergola({"test", config, "--run-dir", "run"});
  expect_success(tested);
  EXPECT_THAT(tested.out, ::testing::StartsWith(lines_of("test")));
  replace("run/predictions/easy_vqa_val.json", "");
  expect_success(pergola({"predict", config, "--run-dir", "run", "--split", "val"}));
  EXPECT_EQ(text("run/predictions/easy_vqa_val.json"), predictions);
}

TEST_P(EachModel, SameSeedGivesTheSameNumbersWithAnyNumberOfWorkers) {
  expect_success(train({}, GetParam()));
  for (const char* workers : {"0", "1", "4"}) {
    expect_success(pergola({"train", std::string(GetParam()) + ".toml", "--run-dir", workers,
                            std::string("training.num_workers=") + workers}));
    EXPECT_EQ(metrics(workers), metrics("run")) << workers << " workers";
    EXPECT_TRUE(same_bytes(weights(workers), weights("run"))) << workers << " workers";
  }
}

TEST_P(EachModel, AnotherSeedGivesOtherNumbers) {
  expect_success(train({"training.max_updates=1"}, GetParam()));
  expect_success(pergola({"train", std::string(GetParam()) + ".toml", "--run-dir", "other",
                          "training.max_updates=1", "training.seed=1235"}));
  EXPECT_NE(metrics("other"), metrics("run"));
}

class OwnDataTest : public RunTest {
 protected:
  const Words with_plugin = {"--plugin-path", fixture_folder("own_data").string(),
                             "run_type=train_val"};
  [[nodiscard]] Result train_with(Words more) const {
    more.insert(more.end(), with_plugin.begin(), with_plugin.end());
    return train(more);
  }
};

TEST_F(OwnDataTest, ModelTrainsOnADataSetOfAPlugin) {
  const Result result = train_with({"dataset=dots", "dataset_config.dots.samples=40"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[data] dots train: 40 samples"));
  EXPECT_THAT(result.err, HasSubstr("[plugin] own_data 0.1.0 from "));
  EXPECT_EQ(metrics().back().at("split"), "val");
  EXPECT_TRUE(metrics().back().contains("val/dots/accuracy"));
  EXPECT_EQ(json("run/summary.json").at("dataset"), "dots");
}

// MMF's test of a user's own code: a data set that tells its classes apart is learnt to the last
// sample in 50 updates.
TEST_F(OwnDataTest, FiftyUpdatesAreAnAccuracyOfOneInValAndTest) {
  expect_success(train({"--plugin-path", fixture_folder("own_data").string(), "dataset=dots",
                        "training.max_updates=50", "training.evaluation_interval=50",
                        "training.checkpoint_interval=0", "optimizer.params.lr=0.1"}));
  const Json summary = json("run/summary.json");
  EXPECT_EQ(summary.at("updates"), 50);
  EXPECT_EQ(summary.at("metrics").at("val/dots/accuracy"), 1.0);
  EXPECT_EQ(summary.at("metrics").at("test/dots/accuracy"), 1.0);
}

TEST_F(OwnDataTest, KeysOfItsTableAreChecked) {
  expect_error(train_with({"dataset=dots", "dataset_config.dots.sampels=40"}), kConfig,
               {"dataset_config.dots.sampels", "(command line)", "did you mean 'samples'?"});
  expect_error(train_with({"dataset=dtos"}), kConfig,
               {"dataset = \"dtos\" (command line) is unknown", "did you mean 'dots'?"});
}

TEST_F(OwnDataTest, ProcessorOfAPluginServesTheHostsDataSet) {
  const Result result = train_with({"dataset_config.easy_vqa.processors.text_processor=letters"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[plugin] own_data 0.1.0 from "));
}

TEST_F(OwnDataTest, LossOfAPluginThatOnlyAMultiNamesTrainsAModelOfAnother) {
  for (const char* part : {"\"brier\"", "{type = \"multi\", params = [\"brier\"]}"}) {
    SCOPED_TRACE(part);
    const Result result = train_with(
        {std::string("model_config.boring.losses=[{type = \"multi\", params = [") + part + "]}]",
         "--overwrite"});
    expect_success(result);
    EXPECT_THAT(result.err, HasSubstr("[plugin] good 0.1.0 from "));
    EXPECT_THAT(result.err, HasSubstr("[plugin] own_data 0.1.0 from "));
    EXPECT_THAT(result.out, HasSubstr("val/easy_vqa/multi "));
  }
}

}  // namespace
}  // namespace pergola::test
