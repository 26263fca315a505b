// SPDX-License-Identifier: BSD-3-Clause
// A run that was stopped and resumed ends with the same bytes as one that was not.
#include "integration/run_test.h"

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The numbers of training: a run that was first told to end at update N has one more validation.
std::vector<Json> train_lines(std::vector<Json> rows) {
  std::erase_if(rows, [](const Json& row) { return row.at("split") != "train"; });
  return rows;
}

struct Case {
  const char* model;
  int update;  // after which the run is stopped
  Words special;
};
void PrintTo(const Case& resumed, std::ostream* stream) {
  *stream << resumed.model << " at " << resumed.update;
}

class ResumedAt : public RunTest, public ::testing::WithParamInterface<Case> {};

const Words kPlain;
// 6 batches an epoch in groups of 4 and 2: the second update of an epoch is a smaller one.
const Words kGroups = {"training.update_frequency=4"};
const Words kWorkers = {"training.num_workers=3"};
// 40 is the schedule's end in both runs, so that it does not depend on max_updates.
const Words kScheduled = {"training.lr_scheduler=true", "scheduler.type=warmup_cosine",
                          "scheduler.params={num_warmup_steps=4, num_training_steps=40}"};
// Validations at 4 and 8; the ones at 3 and 6 are there because the run was to end.
const Words kPlateau = {"training.lr_scheduler=true", "scheduler.type=reduce_on_plateau",
                        "scheduler.params={patience=0, factor=0.1, threshold=0.9}"};
const Words kOneCycleByEpoch = {"training.lr_scheduler=true", "scheduler.type=one_cycle",
                                "scheduler.interval=epoch",
                                "scheduler.params={num_training_steps=3, pct_start=0.5}"};
const Words kFrozen = {"training.freeze=[\"*.bias\"]", "training.clip_grad_value=0.01",
                       "optimizer={type=\"lamb\", params={lr=0.05}}"};
const Words kMomentum = {"optimizer={type=\"sgd\", params={lr=0.1, momentum=0.9}}"};
const Words kAveraged = {"training.ema.enabled=true", "training.ema.start_update=2",
                         "training.ema.interval=2"};
const Words kBFloat16 = {"training.precision=bf16", "training.num_workers=2"};
const Words kFloat16 = {"training.precision=fp16", "training.update_frequency=2"};
const Words kUnfreeze = {"training.unfreeze=[{parameters=[\"*.bias\"], after=5}]"};
const Words kGuarded = {"training.spike_guard.enabled=true", "training.spike_guard.window=3",
                        "training.spike_guard.zscore=1.0"};
const Words kAdamax = {"optimizer={type=\"adamax\", params={lr=0.01}}",
                       "training.clip_gradients=true", "training.max_grad_l2_norm=0.25"};

INSTANTIATE_TEST_SUITE_P(
    Runs, ResumedAt,
    ::testing::Values(
        Case{"boring", 1, kPlain}, Case{"boring", 6, kPlain}, Case{"boring", 7, kWorkers},
        Case{"visual_bert", 5, kPlain}, Case{"mmbt", 7, kScheduled},
        Case{"concat_bert", 5, kFrozen}, Case{"concat_bow", 7, kWorkers},
        Case{"late_fusion", 3, kGroups}, Case{"boring", 11, kMomentum}, Case{"boring", 3, kPlateau},
        Case{"boring", 8, kPlateau}, Case{"boring", 5, kOneCycleByEpoch},
        Case{"boring", 6, kFrozen}, Case{"cnn_lstm", 1, kPlain}, Case{"cnn_lstm", 5, kScheduled},
        Case{"cnn_lstm", 3, kGroups}, Case{"pythia", 1, kPlain}, Case{"pythia", 7, kAdamax},
        Case{"pythia", 6, kWorkers}, Case{"boring", 5, kAveraged}, Case{"cnn_lstm", 5, kBFloat16},
        Case{"boring", 5, kFloat16}, Case{"boring", 4, kUnfreeze}, Case{"boring", 7, kGuarded}),
    [](const auto& param) {
      return std::string(param.param.model) + "_" + std::to_string(param.param.update) + "_" +
             std::to_string(param.index);
    });

TEST_P(ResumedAt, EndsWithTheBytesOfARunThatWasNotStopped) {
  const auto& [model, update, special] = GetParam();
  expect_success(train(special, model));  // in `run`
  Words parts = {"train", std::string(model) + ".toml", "--run-dir", "parts"};
  parts.insert(parts.end(), special.begin(), special.end());
  parts.push_back("training.max_updates=" + std::to_string(update));
  expect_success(pergola(parts));
  ASSERT_FALSE(same_bytes(weights("parts"), weights("run")));
  parts.back() = "--resume";
  const Result resumed = pergola(parts);
  expect_success(resumed);
  EXPECT_THAT(resumed.err, HasSubstr("[resume] from parts/checkpoints/last at update " +
                                     std::to_string(update) + " of 12"));
  EXPECT_TRUE(same_bytes(weights("parts"), weights("run")));
  EXPECT_TRUE(same_bytes("parts/checkpoints/last/trainer.safetensors",
                         "run/checkpoints/last/trainer.safetensors"));
  EXPECT_EQ(train_lines(metrics("parts")), train_lines(metrics("run")));
}

class ResumeTest : public RunTest {
 protected:
  // Replaces the weights of a checkpoint by half of them.
  void damage(const std::string& checkpoint) const {
    const std::string file = "run/checkpoints/" + checkpoint + "/model.safetensors";
    replace(file, text(file).substr(0, text(file).size() / 2));
  }
  // In `whole` a run to update 12, in `run` one that was to end at update 9.
  void train_in_parts() const {
    expect_success(train());
    std::filesystem::rename(path("run"), path("whole"));
    expect_success(train({"training.max_updates=9"}));
  }
};

TEST_F(ResumeTest, DamagedLastIsPassedOverForTheNewestThatIsWhole) {
  train_in_parts();
  damage("last");
  damage("update_00000009");
  const Result result = train({"--resume"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("warning: [checkpoint] passed over: run/checkpoints/last/"
                                    "model.safetensors is damaged: it has "));
  EXPECT_THAT(result.err,
              HasSubstr("[resume] from run/checkpoints/update_00000006 at update 6 of 12"));
  EXPECT_TRUE(same_bytes(weights("run"), weights("whole")));
  EXPECT_EQ(train_lines(metrics("run")), train_lines(metrics("whole")));
}

TEST_F(ResumeTest, DamagedLastOfAFinishedRunIsMended) {
  expect_success(train());
  replace("whole", text(weights()));
  damage("last");
  const Result result = train({"--resume"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("passed over: run/checkpoints/last/model.safetensors"));
  EXPECT_TRUE(same_bytes(weights(), "whole"));
  expect_success(pergola({"checkpoint", "verify", "run/checkpoints/last"}));
}

TEST_F(ResumeTest, WithoutAnyWholeCheckpointItEndsAndTouchesNothing) {
  expect_success(train({"training.max_updates=3"}));
  const std::string metrics = text("run/metrics.jsonl");
  damage("last");
  damage("update_00000003");
  expect_error(train({"--resume"}), kCheckpoint,
               {"none of the 2 checkpoints in run/checkpoints can be used",
                "run/checkpoints/best is whole and is kept", "--run-dir"});
  EXPECT_EQ(text("run/metrics.jsonl"), metrics);
}

TEST_F(ResumeTest, OnlyABestIsRefusedAndKept) {
  expect_success(train({"training.max_updates=4"}));
  std::filesystem::rename(path("run/checkpoints"), path("all"));
  std::filesystem::create_directory(path("run/checkpoints"));
  std::filesystem::rename(path("all/best"), path("run/checkpoints/best"));
  const std::string best = text("run/checkpoints/best/model.safetensors");
  const std::string metrics = text("run/metrics.jsonl");
  expect_error(train({"--resume"}), kCheckpoint,
               {"there is neither `last` nor an `update_*` in run/checkpoints",
                "run/checkpoints/best is whole and is kept", "--run-dir"});
  EXPECT_EQ(text("run/checkpoints/best/model.safetensors"), best);
  EXPECT_EQ(text("run/metrics.jsonl"), metrics);
}

// As `cp -r run/* copy` makes it.
TEST_F(ResumeTest, ARunThatWasCopiedWithoutItsLockIsItsOwnerAgainOnceResumed) {
  expect_success(train({"training.max_updates=2"}));
  std::filesystem::remove(path("run/.lock"));
  expect_error(train({"--overwrite"}), kCheckpoint, {".lock does not say that it is a run's"});
  expect_error(train({"--resume", "training.seed=7"}), kCheckpoint, {"cannot be continued"});
  expect_error(train({"--overwrite"}), kCheckpoint, {".lock does not say that it is a run's"});
  expect_success(train({"--resume", "training.max_updates=3"}));
  expect_success(train({"--overwrite", "training.max_updates=1", "run_type=train"}));
}

TEST_F(ResumeTest, ALineOfTheMetricsThatIsDamagedIsNamed) {
  expect_success(train({"training.max_updates=3"}));
  std::string lines = text("run/metrics.jsonl");
  lines.replace(lines.find('\n') + 1, 1, "[");  // the second line's bracket
  write("run/metrics.jsonl", lines);
  expect_error(train({"--resume"}), kCheckpoint,
               {"run/metrics.jsonl:2 is damaged: it is not valid JSON; remove that line, or the "
                "file"});
}

TEST_F(ResumeTest, WithoutARunItStartsAtTheBeginning) {
  const Result result = train({"--resume", "training.max_updates=2"});
  expect_success(result);
  EXPECT_THAT(result.err,
              HasSubstr("[resume] there is no checkpoint in run; starting at update 0"));
  EXPECT_EQ(json("run/summary.json").at("updates"), 2);
}

TEST_F(ResumeTest, FinishedRunSaysItsResultAgain) {
  const Result trained = train();
  expect_success(trained);
  const std::vector<Json> lines = metrics();
  const Result again = train({"--resume"});
  expect_success(again);
  EXPECT_EQ(again.out, trained.out);
  EXPECT_EQ(metrics(), lines);
  EXPECT_THAT(again.err, Not(HasSubstr("[train] update")));
}

TEST_F(ResumeTest, ConfigKeyMeansTheSameAsTheOption) {
  expect_success(train({"training.max_updates=2"}));
  const Result result = train({"checkpoint.resume=true"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[resume] from run/checkpoints/last at update 2 of 12"));
}

// Keys that cannot change what is learnt, such as log_interval, are not told.
TEST_F(ResumeTest, KeysThatAreOthersThanInTheCheckpointAreToldInOneLine) {
  expect_success(train({"training.max_updates=3", "run_type=train"}));
  const Result result = train({"--resume", "training.max_updates=4", "optimizer.params.lr=0.001",
                               "training.clip_gradients=true", "training.max_grad_l2_norm=0.5",
                               "training.log_interval=2", "run_type=train"});
  expect_success(result);
  EXPECT_THAT(result.err,
              HasSubstr("[resume] the config is not the checkpoint's: optimizer.params.lr = 0.001 "
                        "(it was 0.01), training.clip_gradients = true (it was false), "
                        "training.max_grad_l2_norm = 0.5 (it was not set), training.max_updates = "
                        "4 (it was 3)\n"));
  const Result same = train({"--resume", "training.max_updates=4", "optimizer.params.lr=0.001",
                             "training.clip_gradients=true", "training.max_grad_l2_norm=0.5"});
  expect_success(same);
  EXPECT_THAT(same.err, Not(HasSubstr("the config is not the checkpoint's")));
}

TEST_F(ResumeTest, OfManyOtherKeysTheFirstEightAreTold) {
  expect_success(train({"training.max_updates=3", "run_type=train"}));
  const Result result = train(
      {"--resume", "training.max_updates=3", "run_type=train", "training.early_stop.patience=5",
       "training.ema.decay=0.5", "training.ema.enabled=true", "training.nan_guard.limit=4",
       "training.nan_guard.save_batch=false", "training.spike_guard.action=warn",
       "training.spike_guard.enabled=true", "training.spike_guard.limit=3",
       "training.spike_guard.window=64", "training.spike_guard.zscore=5.0"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("checkpoint's: training.early_stop.patience = 5 (it was 4000), "
                                    "training.ema.decay = 0.5 (it was 0.999)"));
  EXPECT_THAT(result.err, HasSubstr("training.spike_guard.limit = 3 (it was 10), and 2 more\n"));
}

TEST_F(ResumeTest, DrawnSeedStaysTheSame) {
  expect_success(train({"training.seed=-1", "training.max_updates=2"}));
  const Json seed = json("run/checkpoints/last/state.json").at("seed");
  expect_success(train({"training.seed=-1", "--resume"}));
  EXPECT_EQ(json("run/checkpoints/last/state.json").at("seed"), seed);
}

TEST_F(ResumeTest, EvaluationIsInTheMetricsOnceHoweverOftenTheRunIsResumed) {
  expect_success(train({"training.max_updates=4"}));
  expect_success(train({"--resume", "training.max_updates=8"}));
  expect_success(train({"--resume", "training.max_updates=8"}));
  int lines = 0;
  for (const Json& row : metrics()) lines += row.contains("checkpoint") ? 1 : 0;
  EXPECT_EQ(lines, 2);  // of val and of test
  EXPECT_TRUE(metrics().back().contains("checkpoint"));
}

// Of a run that was killed after it saved `last`, and before `best`.
TEST_F(ResumeTest, BestThatIsMissingIsMadeOfTheSameUpdate) {
  const Result trained = train({"training.max_updates=4"});
  expect_success(trained);
  std::filesystem::remove_all(path("run/checkpoints/best"));
  const Result resumed = train({"--resume", "training.max_updates=4"});
  expect_success(resumed);
  EXPECT_EQ(resumed.out, trained.out);
  EXPECT_EQ(json("run/checkpoints/best/state.json").at("progress").at("update"), 4);
}

TEST_F(ResumeTest, BestThatIsOlderThanTheStateSaysIsReplaced) {
  const Result trained = train({"training.max_updates=4"});
  expect_success(trained);
  std::filesystem::remove_all(path("run/checkpoints/best"));
  std::filesystem::rename(path("run/checkpoints/update_00000003"), path("run/checkpoints/best"));
  const Result resumed = train({"--resume", "training.max_updates=4"});
  expect_success(resumed);
  EXPECT_EQ(resumed.out, trained.out);
  EXPECT_TRUE(same_bytes("run/checkpoints/best/model.safetensors", weights()));
}

TEST_F(ResumeTest, RetentionKeepsTheNewestCheckpoints) {
  expect_success(train({"checkpoint.max_to_keep=2"}));
  std::vector<std::string> names;
  for (const std::string& name : listing("run/checkpoints")) {
    if (name.back() == '/') names.push_back(name);
  }
  EXPECT_THAT(names,
              ::testing::ElementsAre("best/", "last/", "update_00000009/", "update_00000012/"));
}

}  // namespace
}  // namespace pergola::test
