// SPDX-License-Identifier: BSD-3-Clause
// `pergola bench` on a GPU: what it measures there alone.
#include "host/device/cuda.h"
#include "integration/run_test.h"

namespace pergola::test {
namespace {

class BenchOnGpu : public RunTest {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
  }
  [[nodiscard]] Json bench(const std::string& config) const {
    // No log line, at which the guard against NaN reads, is due in these updates.
    const Result result =
        pergola({"bench", config, "training.log_interval=100", "--device", "cuda", "--windows", "2",
                 "--steps", "6", "--warm-up", "3", "--format", "json"});
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

}  // namespace
}  // namespace pergola::test
