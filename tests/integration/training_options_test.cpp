// SPDX-License-Identifier: BSD-3-Clause
// What the keys of `training` and `checkpoint` do to a run, as its user sees it: how long it is,
// what it keeps.
#include "integration/run_test.h"

#include <gmock/gmock.h>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TrainingOptionsTest : public RunTest {
 protected:
  [[nodiscard]] Json state(const std::string& run = "run") const {
    return json(run + "/checkpoints/last/state.json");
  }
  // "train1 train2 val2 ...": the points of metrics.jsonl.
  [[nodiscard]] std::string points(const std::string& run = "run") const {
    std::string all;
    for (const Json& row : metrics(run)) {
      all += row.at("split").get<std::string>() + std::to_string(row.at("update").get<int>()) + " ";
    }
    return all;
  }
};

TEST_F(TrainingOptionsTest, FastDevRunGoesThroughAllAndKeepsNothing) {
  const Result result = train({"training.fast_dev_run=2"});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("test/easy_vqa/accuracy "));
  EXPECT_THAT(result.out, HasSubstr("updates 2\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("checkpoint ")));
  EXPECT_THAT(result.err, HasSubstr("a rehearsal with 2 batches of each split; nothing of it"));
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(TrainingOptionsTest, FastDevRunLeavesARunThatIsThereAlone) {
  expect_success(train({"training.max_updates=3"}));
  const std::string weights_before = text(weights());
  const std::vector<std::string> before = listing("run");
  expect_success(train({"training.fast_dev_run=true"}));
  EXPECT_EQ(listing("run"), before);
  EXPECT_EQ(text(weights()), weights_before);
}

TEST_F(TrainingOptionsTest, FastDevRunOfAnEvaluationLeavesThePredictionsAlone) {
  expect_success(train({"training.max_updates=2"}));
  const std::string predictions = text("run/predictions/easy_vqa_test.json");
  ASSERT_NE(predictions, "");
  const std::vector<std::string> before = listing("run");
  for (const Words& command : {Words{"predict"}, Words{"train", "run_type=test"}}) {
    Words words = {command.front(), "boring.toml", "--run-dir", "run", "training.fast_dev_run=1"};
    words.insert(words.end(), command.begin() + 1, command.end());
    const Result result = pergola(words);
    expect_success(result);
    EXPECT_THAT(result.out, Not(HasSubstr("predictions ")));
    EXPECT_THAT(result.err, HasSubstr("a rehearsal with 1 batch of each split; nothing of it"));
  }
  EXPECT_EQ(text("run/predictions/easy_vqa_test.json"), predictions);
  EXPECT_EQ(listing("run"), before);
}

// 44 samples in batches of 8 are 6 batches an epoch.
TEST_F(TrainingOptionsTest, LimitedTrainBatchesMakeShorterEpochs) {
  expect_success(train({"training.limit_train_batches=2", "training.max_epochs=3",
                        "training.evaluation_interval=0", "run_type=train"}));
  EXPECT_EQ(state().at("progress").at("update"), 6);
  EXPECT_EQ(state().at("progress").at("epoch"), 3);
  EXPECT_EQ(points(), "train1 train2 val2 train3 train4 val4 train5 train6 val6 ");
}

TEST_F(TrainingOptionsTest, OverfitBatchesTrainsOnWhatItValidates) {
  const Words words = {"training.overfit_batches=1", "training.max_updates=3",
                       "training.evaluation_interval=1", "optimizer.params.lr=1e-12",
                       "run_type=train"};
  expect_success(train(words));
  EXPECT_EQ(state().at("progress").at("epoch"), 3);
  for (const Json& row : metrics()) {
    EXPECT_NEAR(row.contains("val/total_loss") ? row.at("val/total_loss").get<double>()
                                               : row.at("train/total_loss").get<double>(),
                metrics().front().at("train/total_loss").get<double>(), 1e-5);
  }
}

TEST_F(TrainingOptionsTest, MaxTimeEndsTheRunWithAllThatBelongsToAnEnd) {
  const Result result =
      train({"training.max_updates=10000000", "training.max_time=1 second",
             "training.log_interval=100000", "training.evaluation_interval=100000",
             "training.checkpoint_interval=0"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("training.max_time is over after update "));
  EXPECT_EQ(json("run/summary.json").at("status"), "finished");
  EXPECT_GT(state().at("seconds").get<double>(), 0.9);
  EXPECT_THAT(points(), HasSubstr("test"));
}

TEST_F(TrainingOptionsTest, FastDevRunNamesWhatItLacks) {
  Launch launch = train_launch({"training.fast_dev_run=true"});
  launch.environment["TMPDIR"] = "/nonexistent";
  expect_error(Process(launch).wait(), kCheckpoint,
               {"there is no folder for temporary files", "set the variable TMPDIR"});
}

TEST_F(TrainingOptionsTest, CheckpointsHoldTheCommitAndTheChangesOfTheWorkingDirectory) {
  write("model.txt", "four layers\n");
  const std::string git = "cd '" + path("").string() +
                          "' && git init -q -b topic && git add . && " +
                          "git -c user.name=Ada -c user.email=a@b.c commit -q -m 'Four layers'";
  ASSERT_EQ(std::system(git.c_str()), 0);
  write("model.txt", "five layers\n");
  // A repository may name programs that git would run.
  std::ofstream(path(".git/config"), std::ios::app)
      << "[core]\n fsmonitor = touch ran\n[diff]\n external = touch ran\n";
  expect_success(train({"training.max_updates=1", "run_type=train"}));
  const Json details = state().at("git");
  EXPECT_EQ(details.at("branch"), "topic");
  EXPECT_EQ(details.at("commit_hash").get<std::string>().size(), 40U);
  EXPECT_EQ(details.at("commit_author"), "Ada");
  EXPECT_EQ(details.at("commit_message"), "Four layers");
  EXPECT_THAT(details.at("diff").get<std::string>(),
              AllOf(HasSubstr("-four layers\n+five layers"), Not(HasSubstr("boring.toml"))));
  EXPECT_FALSE(std::filesystem::exists(path("ran")));
  expect_success(pergola({"train", "boring.toml", "--run-dir", "other", "training.max_updates=1",
                          "run_type=train", "checkpoint.save_git_details=false"}));
  EXPECT_FALSE(state("other").contains("git"));
}

TEST_F(TrainingOptionsTest, LogsAreJsonWhenTheyAreAskedToBe) {
  expect_success(train({"training.max_updates=1", "training.log_format=json", "run_type=train"}));
  std::istringstream lines(text("run/log.txt"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json object = Json::parse(line);
    EXPECT_TRUE(object.contains("message")) << line;
  }
  EXPECT_GT(count, 3);
}

TEST_F(TrainingOptionsTest, TheWholeConfigBeginsTheLogWhenAskedFor) {
  const Result result =
      train({"training.max_updates=1", "training.log_detailed_config=true", "run_type=train"});
  EXPECT_THAT(result.err, HasSubstr("batch_size = 8  # boring.toml:"));
}

TEST_F(TrainingOptionsTest, EarlyStoppingEndsTheRunWithItsBestWeights) {
  const Result result = train({"training.max_updates=200", "training.early_stop.enabled=true",
                               "training.early_stop.patience=8", "optimizer.params.lr=0.3"});
  expect_success(result);
  const Json summary = json("run/summary.json");
  EXPECT_LT(summary.at("updates"), 200);
  // Validations come every 4 updates: the first one that is more than 8 after the best ends it.
  EXPECT_EQ(summary.at("updates").get<int>(), summary.at("best").at("update").get<int>() + 12);
}

TEST_F(TrainingOptionsTest, AveragedWeightsAreWhatIsSavedAndEvaluated) {
  const Words ema = {"training.ema.enabled=true", "training.ema.decay=0.5"};
  expect_success(train(ema));
  expect_success(pergola({"train", "boring.toml", "--run-dir", "raw"}));
  EXPECT_FALSE(same_bytes(weights("run"), weights("raw")));
  const auto losses = [&](const std::string& run) {
    std::vector<Json> rows = metrics(run);
    std::erase_if(rows, [](const Json& row) { return row.at("split") != "train"; });
    return rows;
  };
  EXPECT_EQ(losses("run"), losses("raw"));  // training itself is as it was
  const Result test = pergola({"test", "boring.toml", "--checkpoint", "run/checkpoints/best"});
  expect_success(test);
  const double loss = json("run/summary.json").at("metrics").at("test/total_loss").get<double>();
  char digits[32];
  std::snprintf(digits, sizeof(digits), "test/total_loss %.6g\n", loss);
  EXPECT_THAT(test.out, HasSubstr(digits));
}

TEST_F(TrainingOptionsTest, WhatHelpsAGpuChangesNothingOnACpu) {
  expect_success(train());
  expect_success(pergola({"train", "boring.toml", "--run-dir", "other", "training.pin_memory=false",
                          "training.cudnn_benchmark=true", "evaluation.use_cpu=true"}));
  EXPECT_TRUE(same_bytes(weights("other"), weights("run")));
  EXPECT_EQ(metrics("other"), metrics("run"));
  EXPECT_TRUE(
      same_bytes("other/predictions/easy_vqa_test.json", "run/predictions/easy_vqa_test.json"));
}

TEST_F(TrainingOptionsTest, TheLossScalerIsLeftOutByItsOwnReset) {
  const auto begin = [&](const Words& more) {
    Words words = {"--resume", "training.precision=fp16", "run_type=train"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = train(words);
    expect_success(result);
    return result.err;
  };
  begin({"training.max_updates=4"});
  EXPECT_THAT(begin({"training.max_updates=5"}),
              HasSubstr("took weights, optimizer, counts, callbacks, loss scaler, random numbers "
                        "(cpu)\n"));
  EXPECT_THAT(
      begin({"training.max_updates=6", "checkpoint.reset.fp16_scaler=true"}),
      HasSubstr("took weights, optimizer, counts, callbacks, random numbers (cpu); left out "
                "loss scaler\n"));
  // The scale grows after 2000 updates without an overflow; of them it has counted its own one.
  EXPECT_EQ(state().at("scaler").at("growth_tracker"), 1);
}

TEST_F(TrainingOptionsTest, CudaGraphsAreRefusedOnACpu) {
  expect_error(train({"training.cuda_graphs=true"}), kConfig,
               {"training.cuda_graphs = true, but model 'boring' is not recorded: the device is a "
                "CPU, and CUDA graphs are for GPUs; set it to \"auto\" or false"});
  const Result automatic = train({"training.cuda_graphs=auto", "training.max_updates=1"});
  expect_success(automatic);
  EXPECT_THAT(automatic.err, Not(HasSubstr("[graph]")));
}

TEST_F(TrainingOptionsTest, CudaGraphsAreRefusedWithRecompute) {
  expect_error(train({"training.cuda_graphs=true", "training.recompute=true"}, "visual_bert"),
               kConfig,
               {"training.cuda_graphs = true, but model 'visual_bert' is not recorded: "
                "training.recompute reads the random numbers' state, which a recording does not "
                "let; set it to \"auto\" or false"});
}

TEST_F(TrainingOptionsTest, RecomputeIsRefusedForAModelWithoutIt) {
  expect_error(train({"training.recompute=true"}), kConfig,
               {"training.recompute = true, but model 'boring' has no parts that can be computed"});
}

}  // namespace
}  // namespace pergola::test
