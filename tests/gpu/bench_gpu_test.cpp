// SPDX-License-Identifier: BSD-3-Clause
// `pergola bench` on a GPU: what it measures there alone.
#include "host/device/cuda.h"
#include "integration/run_test.h"

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class BenchOnGpu : public RunTest {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
  }
  [[nodiscard]] Json bench(const std::string& config, const Words& more = {}) const {
    // No log line, at which the guard against NaN reads, is due in these updates.
    Words words = {"bench",     config,    "training.log_interval=100",
                   "--device",  "cuda",    "--windows",
                   "2",         "--steps", "6",
                   "--warm-up", "3",       "--format",
                   "json"};
    words.insert(words.end(), more.begin(), more.end());
    const Result result = pergola(words);
    expect_success(result);
    return Json::parse(result.out);
  }
};

TEST_F(BenchOnGpu, KernelsMemoryAndTimesAreTheDevices) {
  const Json json = bench("visual_bert.toml");
  EXPECT_GT(json.at("kernels_per_step"), 10.0);
  EXPECT_GT(json.at("peak_device_bytes"), 0);
  EXPECT_GT(json.at("step_ms").at("p10"), 0.0);
  EXPECT_GT(json.at("samples_per_second"), 0.0);
}

TEST_F(BenchOnGpu, AStepOfAModelThatNeverReadsHasNoSynchronisation) {
  EXPECT_EQ(bench("boring.toml").at("synchronisations_per_step"), 0.0);
}

// Places of tokens come with the batch, which is on the device before the step.
TEST_F(BenchOnGpu, AStepWithoutPaddingHasNoSynchronisation) {
  for (const std::string model : {"visual_bert", "mmbt"}) {
    const Json json = bench(model + ".toml", {"training.precision=\"bf16\"",
                                              "model_config." + model + ".attention=\"packed\""});
    EXPECT_EQ(json.at("synchronisations_per_step"), 0.0) << model << json;
  }
}

TEST_F(BenchOnGpu, APredictionHasALatencyAndKernels) {
  const Json json = bench("visual_bert.toml", {"--predict", "training.batch_size=1"});
  EXPECT_GT(json.at("step_ms").at("p10"), 0.0);
  EXPECT_GT(json.at("kernels_per_step"), 5.0);
  EXPECT_GT(json.at("peak_device_bytes"), 0);
}

// Of 12 samples, six each of two lengths: the ninth of each has come within 18 steps.
TEST_F(BenchOnGpu, PredictionsAreReplayedWhereGraphsAreWanted) {
  const auto measured = [&](const char* graphs) {
    const Result result =
        pergola({"bench", "visual_bert.toml", "--predict", "--device", "cuda",
                 "training.batch_size=1", "--warm-up", "20", "--windows", "1", "--steps", "6",
                 "--format", "json", std::string("training.cuda_graphs=") + graphs});
    expect_success(result);
    return Json::parse(result.out);
  };
  const Json with = measured("true");
  const Json without = measured("false");
  EXPECT_EQ(with.at("replayed_share"), 1.0);
  EXPECT_EQ(without.at("replayed_share"), 0.0);
  EXPECT_EQ(with.at("flops_per_sample"), without.at("flops_per_sample"));
}

// Questions of one length are two shapes of batches: 4 samples, and what is left at the end of an
// epoch of ten batches at most. Its fourth has come within 40 updates. A bare replay does a part of
// what the loop does.
TEST_F(BenchOnGpu, TheLoopIsMeasuredBesideBareReplays) {
  Json rows = Json::array();
  for (int i = 0; i < 40; ++i) rows.push_back({"what color is the shape?", "red", i % 6});
  write("data/easy_vqa/train/questions.json", rows.dump());
  const Result result =
      pergola({"bench", "boring.toml", "--device", "cuda", "training.batch_size=4",
               "training.cuda_graphs=true", "training.num_workers=1", "--warm-up", "40",
               "--windows", "2", "--steps", "6", "--format", "json"});
  expect_success(result);
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json.at("replayed_share"), 1.0);
  const double loop = json.at("loop_ms");
  const double bare = json.at("replay_ms");
  EXPECT_GT(bare, 0.0);
  EXPECT_GT(loop, bare / 2);
  EXPECT_DOUBLE_EQ(json.at("loop_overhead"), loop / bare - 1);
}

TEST_F(BenchOnGpu, NothingIsComparedWhereNothingIsReplayed) {
  const Result result = pergola({"bench", "boring.toml", "training.cuda_graphs=false", "--device",
                                 "cuda", "--windows", "1", "--steps", "2", "--warm-up", "1"});
  expect_success(result);
  EXPECT_THAT(result.out, Not(HasSubstr("loop overhead")));
  EXPECT_THAT(result.err, HasSubstr(" beside bare replays, unless nothing is replayed, "));
}

TEST_F(BenchOnGpu, ATraceHasKernelsAndTheUpdatesTheyAreOf) {
  static_cast<void>(bench("visual_bert.toml", {"--profile", "trace.json"}));
  const std::string trace = text("trace.json");
  EXPECT_TRUE(Json::accept(trace));
  EXPECT_THAT(trace, HasSubstr("\"cat\": \"kernel\""));
  EXPECT_THAT(trace, HasSubstr("\"update 16\""));
}

// What the ranges are can be seen in NVIDIA's tools alone; that they stop nothing, here.
TEST_F(BenchOnGpu, RangesForNsightChangeNoNumber) {
  const std::string same = "training.deterministic=true";
  expect_success(train({"--device", "cuda", same}));
  std::filesystem::rename(path("run"), path("plain"));
  expect_success(train({"--device", "cuda", same, "--nvtx", "training.profile.start_update=2"}));
  EXPECT_THAT(text("run/log.txt"), Not(HasSubstr("trace.json")));
  EXPECT_FALSE(std::filesystem::exists(path("run/trace.json")));
  EXPECT_TRUE(same_bytes(weights("run"), weights("plain")));
}

}  // namespace
}  // namespace pergola::test
