// SPDX-License-Identifier: BSD-3-Clause
// What of `training` and `checkpoint` needs more than a type and bounds.
#include "host/config/run_config.h"
#include "unit/config/config_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace pergola::host {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TrainingConfigTest : public ConfigFixture {
 protected:
  void SetUp() override { write_run("optimizer = {type = \"adamw\", params = {lr = 0.5}}"); }

  [[nodiscard]] RunConfig parse(const std::vector<std::string>& overrides = {}) const {
    return RunConfig::parse(resolve(overrides));
  }
  [[nodiscard]] TrainingConfig training(const std::vector<std::string>& overrides = {}) const {
    return parse(overrides).training;
  }
  [[nodiscard]] std::string complaint_of(const std::vector<std::string>& overrides) const {
    return test::error_of([&] { (void)parse(overrides); });
  }
};

TEST_F(TrainingConfigTest, PrecisionHasAShortFormOfMmfs) {
  EXPECT_EQ(training().precision, Precision::kFp32);
  EXPECT_EQ(training({"training.precision=bf16"}).precision, Precision::kBf16);
  EXPECT_EQ(training({"training.precision=tf32"}).precision, Precision::kTf32);
  EXPECT_EQ(training({"training.fp16=true"}).precision, Precision::kFp16);
  EXPECT_EQ(training({"training.fp16=true", "training.precision=fp16"}).precision,
            Precision::kFp16);
  EXPECT_THAT(complaint_of({"training.fp16=true", "training.precision=bf16"}),
              HasSubstr("goes against training.precision = \"bf16\""));
  EXPECT_THAT(complaint_of({"training.precision=fp61"}), HasSubstr("did you mean 'fp16'?"));
}

TEST_F(TrainingConfigTest, IntervalsTakeUnits) {
  const TrainingConfig config = training(
      {"training.checkpoint_interval=30 minutes", "training.evaluation_interval=0.5 epochs"});
  EXPECT_EQ(config.checkpoint_interval, (Duration{1800, Duration::Unit::kSeconds}));
  EXPECT_EQ(config.evaluation_interval, (Duration{0.5, Duration::Unit::kEpochs}));
}

TEST_F(TrainingConfigTest, MaxTimeIsATime) {
  EXPECT_EQ(training().max_seconds, std::nullopt);
  EXPECT_EQ(training({"training.max_time=1:30:00"}).max_seconds, 5400);
  for (const char* wrong : {"training.max_time=5 updates", "training.max_time=0 minutes"}) {
    EXPECT_THAT(complaint_of({wrong}), HasSubstr("is no time to train")) << wrong;
  }
}

TEST_F(TrainingConfigTest, CudaGraphsAreAutoTrueOrFalse) {
  EXPECT_EQ(training().cuda_graphs, CudaGraphs::kAuto);
  EXPECT_EQ(training({"training.cuda_graphs=auto"}).cuda_graphs, CudaGraphs::kAuto);
  EXPECT_EQ(training({"training.cuda_graphs=true"}).cuda_graphs, CudaGraphs::kOn);
  EXPECT_EQ(training({"training.cuda_graphs=false"}).cuda_graphs, CudaGraphs::kOff);
  EXPECT_THAT(complaint_of({"training.cuda_graphs=always"}),
              HasSubstr("is not a choice; expected \"auto\", true or false"));
}

TEST_F(TrainingConfigTest, SettingsOfTheAllocatorAreThoseOfLibTorch) {
  EXPECT_EQ(training().cuda_allocator, "");
  for (const std::string settings :
       {"expandable_segments:True", "max_split_size_mb:256, garbage_collection_threshold:0.8",
        "roundup_power2_divisions:[256:1,512:2,>:4],backend:cudaMallocAsync"}) {
    EXPECT_EQ(training({"training.cuda_allocator=\"" + settings + "\""}).cuda_allocator, settings);
  }
  const std::string begin = "training.cuda_allocator = ";
  for (const auto& [settings, problem] : std::map<std::string, std::string>{
           {"expandable_segment:True",
            " has a setting 'expandable_segment', which LibTorch's "
            "allocator does not know; did you mean "
            "'expandable_segments'?"},
           {"expandable_segments:true",
            " has expandable_segments:true; expected expandable_segments:True or False"},
           {"max_split_size_mb:2G",
            " has max_split_size_mb:2G; expected max_split_size_mb:a number"},
           {"backend:async", "; expected backend:native or cudaMallocAsync"},
           {"roundup_power2_divisions:[]",
            "; expected roundup_power2_divisions:a number, or a list"},
           {"expandable_segments=True",
            " has 'expandable_segments=True', which is no setting; "
            "expected name:value, with commas between settings"},
           {"max_split_size_mb:1,", " has '', which is no setting"}}) {
    EXPECT_THAT(complaint_of({"training.cuda_allocator=\"" + settings + "\""}),
                AllOf(HasSubstr(begin), HasSubstr(problem)));
  }
}

TEST_F(TrainingConfigTest, FastDevRunShortensAllSplits) {
  EXPECT_EQ(training().fast_dev_run, 0);
  const TrainingConfig one = training({"training.fast_dev_run=true", "training.max_epochs=3"});
  EXPECT_EQ(one.fast_dev_run, 1);
  EXPECT_EQ(one.max_updates, 1);
  EXPECT_EQ(one.max_epochs, std::nullopt);
  EXPECT_EQ(one.limit_val_batches.of(100), 1);
  const TrainingConfig five = training({"training.fast_dev_run=5"});
  EXPECT_EQ(five.max_updates, 5);
  EXPECT_EQ(five.limit_test_batches.of(100), 5);
  EXPECT_THAT(complaint_of({"training.fast_dev_run=-1"}), HasSubstr("is below 0"));
}

// A fraction is never rounded down to none, so 0 alone leaves none.
TEST_F(TrainingConfigTest, NoTrainBatchesAreRefusedAndNoOthersAreNot) {
  for (const std::string zero : {"0", "0.0"}) {
    EXPECT_THAT(complaint_of({"training.limit_train_batches=" + zero}),
                HasSubstr("training.limit_train_batches = " + zero +
                          " (command line) leaves nothing to train on; expected a whole number of "
                          "batches above 0, such as 10, or a fraction of them, such as 0.1"));
  }
  const TrainingConfig config =
      training({"training.limit_val_batches=0", "training.limit_test_batches=0.0"});
  EXPECT_TRUE(config.limit_val_batches.is_zero());
  EXPECT_TRUE(config.limit_test_batches.is_zero());
}

TEST_F(TrainingConfigTest, EpochsBeatUpdates) {
  EXPECT_EQ(training({"training.max_updates=2"}).updates_to_train(100), 2);
  const auto of_epochs = [&](const std::string& epochs) {
    return training({"training.max_updates=2", "training.max_epochs=" + epochs})
        .updates_to_train(100);
  };
  EXPECT_EQ(of_epochs("0.04"), 4);
  EXPECT_EQ(of_epochs("0.07"), 7);  // 7.000000000000001
  EXPECT_EQ(of_epochs("0.041"), 5);
  EXPECT_EQ(of_epochs("3"), 300);
  EXPECT_EQ(of_epochs("1e-9"), 1);
}

TEST_F(TrainingConfigTest, BatchSizePerDeviceWins) {
  EXPECT_EQ(training({"training.batch_size_per_device=4"}).batch_size, 4);
}

TEST_F(TrainingConfigTest, UnfreezeNamesParametersAndWhen) {
  const TrainingConfig config = training(
      {"training.unfreeze=[{parameters=[\"a.*\"], after=\"2 epochs\"}, {parameters=[\"b\"], "
       "after=50}]"});
  ASSERT_EQ(config.unfreeze.size(), 2U);
  EXPECT_THAT(config.unfreeze[0].parameters, ElementsAre("a.*"));
  EXPECT_EQ(config.unfreeze[0].after, (Duration{2, Duration::Unit::kEpochs}));
  EXPECT_EQ(config.unfreeze[1].after, (Duration{50, Duration::Unit::kUpdates}));
  EXPECT_EQ(config.unfreeze[1].where, "training.unfreeze[1] (command line)");
  EXPECT_THAT(complaint_of({"training.unfreeze=[{parameters=[\"a\"]}]"}), HasSubstr("after"));
  EXPECT_THAT(complaint_of({"training.unfreeze=[{parameters=[], after=1}]"}),
              HasSubstr("is empty"));
  EXPECT_THAT(complaint_of({"training.unfreeze=[{parameters=[\"a\"], after=\"1 hour\"}]"}),
              HasSubstr("is a time; expected updates or epochs"));
  EXPECT_THAT(complaint_of({"training.unfreeze=[\"a\"]"}), HasSubstr("expected a table"));
}

TEST_F(TrainingConfigTest, GuardsHaveChoices) {
  EXPECT_EQ(training().nan_guard.action, GuardAction::kStop);
  EXPECT_EQ(training({"training.nan_guard.action=skip"}).nan_guard.action, GuardAction::kSkip);
  EXPECT_FALSE(training({"training.exit_on_nan_losses=false"}).nan_guard.enabled);
  EXPECT_EQ(training({"training.spike_guard.action=warn"}).spike_guard.action, GuardAction::kWarn);
  EXPECT_THAT(complaint_of({"training.spike_guard.action=stop"}), HasSubstr("stop"));
}

TEST_F(TrainingConfigTest, ResumePretrainedTakesTheWeightsOfResumeFile) {
  const CheckpointConfig weights =
      parse({"checkpoint.resume_file=a", "checkpoint.resume_pretrained=true"}).checkpoint;
  EXPECT_EQ(weights.pretrained, "a");
  EXPECT_EQ(weights.resume_file, std::nullopt);
  EXPECT_EQ(parse({"checkpoint.resume_file=a"}).checkpoint.resume_file, "a");
  EXPECT_THAT(complaint_of({"checkpoint.resume_pretrained=true"}),
              HasSubstr("needs checkpoint.resume_file"));
  EXPECT_THAT(complaint_of({"checkpoint.resume_file=a", "checkpoint.pretrained=b"}),
              HasSubstr("take one of the two out"));
}

struct Switch {
  std::string key;
  bool (*field)(const RunConfig& run);
};
const Switch kSwitches[] = {
    {"training.deterministic", [](const RunConfig& run) { return run.training.deterministic; }},
    {"training.cudnn_benchmark", [](const RunConfig& run) { return run.training.cudnn_benchmark; }},
    {"training.fused_kernels", [](const RunConfig& run) { return run.training.fused_kernels; }},
    {"training.detect_anomaly", [](const RunConfig& run) { return run.training.detect_anomaly; }},
    {"training.recompute", [](const RunConfig& run) { return run.training.recompute; }},
    {"training.evaluate_metrics",
     [](const RunConfig& run) { return run.training.evaluate_metrics; }},
    {"training.pin_memory", [](const RunConfig& run) { return run.training.pin_memory; }},
    {"training.tensorboard", [](const RunConfig& run) { return run.training.tensorboard; }},
    {"training.log_detailed_config",
     [](const RunConfig& run) { return run.training.log_detailed_config; }},
    {"evaluation.use_cpu", [](const RunConfig& run) { return run.evaluation.use_cpu; }},
    {"evaluation.predict", [](const RunConfig& run) { return run.evaluation.predict; }},
    {"checkpoint.resume", [](const RunConfig& run) { return run.checkpoint.resume; }},
    {"checkpoint.resume_best", [](const RunConfig& run) { return run.checkpoint.resume_best; }},
    {"checkpoint.reset.all", [](const RunConfig& run) { return run.checkpoint.reset.all; }},
    {"checkpoint.reset.optimizer",
     [](const RunConfig& run) { return run.checkpoint.reset.optimizer; }},
    {"checkpoint.reset.counts", [](const RunConfig& run) { return run.checkpoint.reset.counts; }},
    {"checkpoint.reset.fp16_scaler",
     [](const RunConfig& run) { return run.checkpoint.reset.fp16_scaler; }},
    {"checkpoint.save_in_background",
     [](const RunConfig& run) { return run.checkpoint.save_in_background; }},
    {"checkpoint.save_git_details",
     [](const RunConfig& run) { return run.checkpoint.save_git_details; }},
    {"checkpoint.pretrained_resize_positions",
     [](const RunConfig& run) { return run.checkpoint.pretrained_resize_positions; }},
    {"checkpoint.bypass_shape_mismatch",
     [](const RunConfig& run) { return run.checkpoint.bypass_shape_mismatch; }},
    {"multitasking.enabled", [](const RunConfig& run) { return run.multitasking.enabled; }},
};

TEST_F(TrainingConfigTest, EachSwitchSetsItsOwnFieldAlone) {
  const RunConfig defaults = parse();
  for (const Switch& turned : kSwitches) {
    const bool now = !turned.field(defaults);
    const RunConfig run = parse({concat(turned.key, "=", now ? "true" : "false")});
    for (const Switch& other : kSwitches) {
      EXPECT_EQ(other.field(run), other.key == turned.key ? now : other.field(defaults))
          << other.key << " with " << turned.key;
    }
  }
}

TEST_F(TrainingConfigTest, SeveralDataSetsAreAListOrWordsWithCommas) {
  write_run("optimizer.type = \"adamw\"");
  EXPECT_THAT(parse({"dataset=[\"easy_vqa\"]"}).datasets, ElementsAre("easy_vqa"));
  EXPECT_THAT(complaint({"dataset=easy_vqa,other"}),
              AllOf(HasSubstr("dataset = \"easy_vqa,other\""), HasSubstr("is unknown")));
  for (const char* wrong : {"dataset=[]", "dataset=easy_vqa,", "dataset="}) {
    EXPECT_THAT(complaint({wrong}), HasSubstr("names no data set")) << wrong;
  }
  EXPECT_THAT(complaint({"dataset=easy_vqa,easy_vqa"}), HasSubstr("names 'easy_vqa' twice"));
}

}  // namespace
}  // namespace pergola::host
