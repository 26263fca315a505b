// SPDX-License-Identifier: BSD-3-Clause
// Guards, averaged weights and finders on a GPU.
#include "host/device/cuda.h"
#include "integration/run_test.h"

#include <string>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;

class GpuGuardsTest : public RunTest {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
    write("goes_wrong.toml", common_config() + "model = \"goes_wrong\"\nplugins.path = [\"" +
                                 fixture_folder("goes_wrong").string() + "\"]\n");
  }
  [[nodiscard]] Result on_gpu(const std::string& model, Words more) const {
    // goes_wrong counts batches on the CPU, which a replay does not see.
    more.insert(more.begin(), {"--device", "cuda", "training.cuda_graphs=false"});
    return train(more, model);
  }
};

TEST_F(GpuGuardsTest, NanIsSkippedAtItsUpdate) {
  const Result result =
      on_gpu("goes_wrong", {"training.nan_guard.action=skip", "training.log_interval=100",
                            "model_config.goes_wrong.nan_at=[3,6]"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[nan] update 3 is skipped"));
  EXPECT_THAT(result.err, HasSubstr("[nan] update 6 is skipped"));
}

// Where updates are not read one by one, the log line after it finds it.
TEST_F(GpuGuardsTest, NanStopsTheRunAtTheNextLogLine) {
  const Result result =
      on_gpu("goes_wrong", {"training.log_interval=4", "training.checkpoint_interval=0",
                            "model_config.goes_wrong.nan_at=[2]"});
  EXPECT_EQ(result.exit_code, kNan) << result;
  EXPECT_THAT(result.err, HasSubstr("not a finite number at update 4"));
}

TEST_F(GpuGuardsTest, SpikeIsSkipped) {
  const Result result = on_gpu(
      "goes_wrong", {"training.spike_guard.enabled=true", "training.spike_guard.window=4",
                     "training.spike_guard.zscore=50", "model_config.goes_wrong.spike_at=[9]"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("[spike] update 9 is skipped: its loss "));
}

// The weights of its LSTM share one memory, as cuDNN wants them.
TEST_F(GpuGuardsTest, TheAverageOfALstmIsWhatACheckpointHolds) {
  expect_success(on_gpu("cnn_lstm", {"training.ema.enabled=true", "training.ema.decay=0.5"}));
  const Result measured = pergola({"validate", "cnn_lstm.toml", "--run-dir", "run", "--device",
                                   "cuda", "--checkpoint", "run/checkpoints/last"});
  expect_success(measured);
  const std::string key = "val/total_loss ";
  const double loss = std::stod(measured.out.substr(measured.out.find(key) + key.size()));
  for (const Json& row : metrics()) {
    if (row.at("split") != "val" || row.at("update") != 12 || row.contains("checkpoint")) continue;
    EXPECT_NEAR(loss, row.at("val/total_loss").get<double>(), 1e-4);
  }
}

// What is drawn on the GPU has a generator of its own.
TEST_F(GpuGuardsTest, AModelThatDrawsOnTheCpuResumesExactly) {
  const auto run_to = [&](const std::string& end, Words more) {
    more.insert(more.end(),
                {"training.deterministic=true", "run_type=train",
                 "model_config.goes_wrong.cpu_noise=true", "training.max_updates=" + end});
    const Result result = on_gpu("goes_wrong", more);
    expect_success(result);
    return result.err;
  };
  run_to("12", {});
  std::filesystem::rename(path("run"), path("whole"));
  run_to("5", {});
  EXPECT_THAT(run_to("12", {"--resume"}),
              HasSubstr("random numbers (cpu), random numbers (cuda)\n"));
  EXPECT_TRUE(same_bytes(weights("run"), weights("whole")));
}

// The first shortage is met without CUDA graphs, which hold memory of their own; then batches are
// halved.
TEST_F(GpuGuardsTest, BatchesThatAreTooLargeAreHalvedAndTheRunGoesOn) {
  for (const char* precision : {"fp32", "fp16"}) {
    const Result result = on_gpu("goes_wrong", {"--overwrite", "training.on_out_of_memory=halve",
                                                "model_config.goes_wrong.fits=4",
                                                "model_config.goes_wrong.fits_in_evaluation=4",
                                                std::string("training.precision=") + precision});
    expect_success(result);
    EXPECT_THAT(result.err, HasSubstr("ran out of memory at update 1: 2.00 GiB were asked for"));
    EXPECT_THAT(result.err, HasSubstr("training goes on, with 4 samples at a time"));
    EXPECT_THAT(result.err, HasSubstr("[memory] cuda:0: at most "));
    EXPECT_EQ(json("run/checkpoints/last/state.json").at("samples_at_a_time"), 4);
  }
}

TEST_F(GpuGuardsTest, TuneFindsARateAndABatchSize) {
  const Result lr = pergola({"tune", "lr", "boring.toml", "--device", "cuda"});
  expect_success(lr);
  EXPECT_THAT(lr.out, HasSubstr("\noptimizer.params.lr = "));
  const Result size =
      pergola({"tune", "batch_size", "boring.toml", "--device", "cuda", "training.batch_size=32"});
  expect_success(size);
  EXPECT_THAT(size.out, HasSubstr("\ntraining.batch_size = 32\n"));
}

}  // namespace
}  // namespace pergola::test
