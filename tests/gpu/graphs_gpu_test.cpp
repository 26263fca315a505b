// SPDX-License-Identifier: BSD-3-Clause
// Runs whose updates and predictions are recorded as CUDA graphs, beside the same without.
#include "gpu/graphs_fixture.h"

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class GraphsOfModels : public GraphsGpuTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, GraphsOfModels,
                         ::testing::Values("pythia", "cnn_lstm", "visual_bert", "boring"),
                         [](const auto& param) { return std::string(param.param); });

// With dropout, and gradients that are clipped.
TEST_P(GraphsOfModels, LossesAndWeightsAreThoseOfARunWithout) {
  const Words clipped = {"training.clip_gradients=true", "training.max_grad_l2_norm=0.5"};
  EXPECT_THAT(train_on_gpu(GetParam(), "false", "without", clipped), Not(HasSubstr("[graph]")));
  EXPECT_THAT(train_on_gpu(GetParam(), "true", "with", clipped),
              HasSubstr("[graph] updates of model '" + std::string(GetParam()) + "' are replayed"));
  expect_same_run("without", "with");
}

TEST_F(GraphsGpuTest, ARunThatIsResumedGoesOnAsIfItHadNotStopped) {
  static_cast<void>(train_on_gpu("visual_bert", "true", "whole"));
  static_cast<void>(train_on_gpu("visual_bert", "true", "run", {"training.max_updates=20"}));
  static_cast<void>(train_on_gpu("visual_bert", "true", "run", {"--resume"}));
  EXPECT_TRUE(same_bytes(weights("run"), weights("whole")));
}

TEST_F(GraphsGpuTest, ARunOfMicroBatchesInFp16ThatIsResumedGoesOnAsIfItHadNotStopped) {
  const auto train_to = [&](const std::string& folder, const Words& more) {
    Words words = {"training.precision=fp16", "training.update_frequency=2"};
    words.insert(words.end(), more.begin(), more.end());
    static_cast<void>(train_on_gpu("visual_bert", "true", folder, words));
  };
  train_to("whole", {});
  train_to("run", {"training.max_updates=20"});
  train_to("run", {"--resume"});
  EXPECT_TRUE(same_bytes(weights("run"), weights("whole")));
}

// A prediction file, and what the evaluation said; batches of one, so that a shape comes often.
class PredictionGraphs : public GraphsGpuTest, public ::testing::WithParamInterface<const char*> {
 protected:
  struct Predictions {
    std::string file;
    std::string log;
  };
  [[nodiscard]] Predictions predict_on_gpu(const std::string& graphs, Words more = {}) const {
    Words words = {"predict",
                   std::string(GetParam()) + ".toml",
                   "--run-dir",
                   "run",
                   "--device",
                   "cuda",
                   "training.batch_size=1",
                   "training.deterministic=true",
                   "training.cuda_graphs=" + graphs};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = pergola(words);
    expect_success(result);
    return {text("run/predictions/easy_vqa_test.json"), result.err};
  }
};
INSTANTIATE_TEST_SUITE_P(Models, PredictionGraphs, ::testing::Values("pythia", "visual_bert"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(PredictionGraphs, FilesAreThoseOfPredictionsWithout) {
  static_cast<void>(train_on_gpu(GetParam(), "false", "run", {"training.max_updates=12"}));
  const std::string told = "[graph] predictions of model '" + std::string(GetParam());
  for (const char* precision : {"fp32", "bf16"}) {
    const Words more = {std::string("training.precision=") + precision};
    const Predictions without = predict_on_gpu("false", more);
    const Predictions with = predict_on_gpu("true", more);
    EXPECT_FALSE(without.file.empty());
    EXPECT_EQ(with.file, without.file) << precision;
    EXPECT_THAT(without.log, Not(HasSubstr("[graph]")));
    EXPECT_THAT(with.log, HasSubstr(told + "' are replayed"));
  }
}

// Validations lie between recorded updates and share their memory: eight, of four samples with one
// of two lengths. The run that is resumed has recorded nothing when it begins.
TEST_P(PredictionGraphs, TrainingAndValidationsAreThoseOfARunWithout) {
  const Words more = {"run_type=train_val", "training.batch_size=1",
                      "training.evaluation_interval=5", "training.ema.enabled=true",
                      "training.ema.decay=0.5"};
  static_cast<void>(train_on_gpu(GetParam(), "false", "without", more));
  const std::string log = train_on_gpu(GetParam(), "true", "with", more);
  EXPECT_THAT(log, HasSubstr("[graph] updates of model '" + std::string(GetParam())));
  EXPECT_THAT(log, HasSubstr("[graph] predictions of model '" + std::string(GetParam()) +
                             "' are replayed"));
  expect_same_run("without", "with");
  Words half = more;
  half.emplace_back("training.max_updates=20");
  static_cast<void>(train_on_gpu(GetParam(), "true", "resumed", half));
  Words rest = more;
  rest.emplace_back("--resume");
  static_cast<void>(train_on_gpu(GetParam(), "true", "resumed", rest));
  EXPECT_TRUE(same_bytes(weights("resumed"), weights("without")));
}

TEST_F(GraphsGpuTest, APredictionThatWaitsForTheDeviceIsAWarningWhereGraphsAreWanted) {
  static_cast<void>(train_on_gpu("waits_for_device", "false", "run", {"training.max_updates=12"}));
  const Result result = pergola({"predict", "waits_for_device.toml", "--run-dir", "run", "--device",
                                 "cuda", "training.batch_size=1", "training.cuda_graphs=true"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("warning: [graph] predictions of model 'waits_for_device' are "
                                    "not recorded: "));
}

TEST_F(GraphsGpuTest, MixedPrecisionAndAveragedWeightsAreTheSame) {
  const Words more = {"training.precision=bf16", "training.ema.enabled=true",
                      "training.ema.decay=0.5"};
  static_cast<void>(train_on_gpu("visual_bert", "false", "without", more));
  static_cast<void>(train_on_gpu("visual_bert", "true", "with", more));
  expect_same_run("without", "with");
}

// Of an epoch's six batches the first four make an update, and the other two.
TEST_P(GraphsOfModels, MicroBatchesAddUpToTheUpdatesOfARunWithout) {
  const Words more = {"training.update_frequency=4", "training.clip_gradients=true",
                      "training.max_grad_l2_norm=0.5"};
  static_cast<void>(train_on_gpu(GetParam(), "false", "without", more));
  EXPECT_THAT(train_on_gpu(GetParam(), "true", "with", more),
              HasSubstr("[graph] updates of model '" + std::string(GetParam()) + "' are replayed"));
  expect_same_run("without", "with");
}

// With the scale in each line, and log lines further apart than checkpoints.
TEST_P(GraphsOfModels, Fp16HasTheWeightsAndTheScaleOfARunWithout) {
  for (const char* frequency : {"1", "2"}) {
    const std::string with = std::string("with_") + frequency;
    const std::string without = std::string("without_") + frequency;
    const Words more = {"training.precision=fp16", "training.clip_gradients=true",
                        "training.max_grad_l2_norm=0.5", "training.log_interval=4",
                        std::string("training.update_frequency=") + frequency};
    static_cast<void>(train_on_gpu(GetParam(), "false", without, more));
    EXPECT_THAT(
        train_on_gpu(GetParam(), "true", with, more),
        HasSubstr("[graph] updates of model '" + std::string(GetParam()) + "' are replayed"));
    expect_same_run(without, with);
    const auto scaler_of = [&](const std::string& folder) {
      return json(folder + "/checkpoints/last/state.json").at("scaler");
    };
    EXPECT_EQ(scaler_of(with), scaler_of(without));
  }
}

TEST_F(GraphsGpuTest, AModelThatWaitsForTheDeviceIsToldOnceAndTrainsWithout) {
  static_cast<void>(train_on_gpu("waits_for_device", "false", "without"));
  const std::string log = train_on_gpu("waits_for_device", "auto", "with");
  const std::string told = "[graph] model 'waits_for_device' is not recorded: ";
  EXPECT_THAT(log, HasSubstr(told));
  EXPECT_EQ(log.find("[graph]", log.find(told) + told.size()), std::string::npos) << log;
  expect_same_run("without", "with");
}

TEST_F(GraphsGpuTest, AModelThatDrawsOnTheCpuIsNotRecorded) {
  const Words noise = {"model_config.goes_wrong.cpu_noise=true"};
  static_cast<void>(train_on_gpu("goes_wrong", "false", "without", noise));
  EXPECT_THAT(train_on_gpu("goes_wrong", "auto", "with", noise),
              HasSubstr("[graph] model 'goes_wrong' is not recorded: it draws random numbers on "
                        "the CPU; training goes on without CUDA graphs"));
  expect_same_run("without", "with");
}

TEST_F(GraphsGpuTest, WhatCannotBeRecordedIsAnErrorWhereItIsWanted) {
  const Result result = pergola({"train", "waits_for_device.toml", "--run-dir", "run", "--device",
                                 "cuda", "training.cuda_graphs=true", "training.max_updates=40"});
  EXPECT_EQ(result.exit_code, kConfig) << result;
  EXPECT_THAT(result.err, HasSubstr("training.cuda_graphs = true, but model 'waits_for_device' is "
                                    "not recorded: "));
}

}  // namespace
}  // namespace pergola::test
