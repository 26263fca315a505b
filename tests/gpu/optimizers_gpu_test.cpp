// SPDX-License-Identifier: BSD-3-Clause
// Every optimizer on a GPU takes the steps that it takes on the CPU, clipping and schedule
// included, and goes on from a checkpoint.
#include "host/device/cuda.h"
#include "integration/run_test.h"

namespace pergola::test {
namespace {

struct Case {
  const char* type;
  const char* params;
};
void PrintTo(const Case& optimizer, std::ostream* stream) { *stream << optimizer.type; }

class GpuOptimizerTest : public RunTest, public ::testing::WithParamInterface<Case> {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
  }
  [[nodiscard]] Result train_on(const std::string& device, const std::string& folder,
                                const std::string& updates = "12") const {
    const std::string params = GetParam().params;
    return pergola(
        {"train", "boring.toml", "--run-dir", folder, "--device", device,
         "optimizer={type=\"" + std::string(GetParam().type) + "\", params={" + params + "}}",
         "training.clip_grad_value=0.1", "training.lr_scheduler=true",
         "scheduler={type=\"one_cycle\", params={num_training_steps=12}}", "checkpoint.resume=true",
         "training.max_updates=" + updates});
  }
  [[nodiscard]] std::vector<double> losses(const std::string& folder) const {
    std::vector<double> all;
    for (const Json& row : metrics(folder)) {
      if (row.at("split") == "train") all.push_back(row.at("train/total_loss"));
    }
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(
    All, GpuOptimizerTest,
    ::testing::Values(Case{"sgd", "lr=0.5, momentum=0.9, dampening=0.1"},
                      Case{"adam", "lr=0.05, amsgrad=true"}, Case{"adamw", "lr=0.05"},
                      Case{"adamax", "lr=0.05"}, Case{"nadam", "lr=0.05"},
                      Case{"adagrad", "lr=0.1, weight_decay=0.1"},
                      Case{"rmsprop", "lr=0.01, momentum=0.5, centered=true"},
                      Case{"lamb", "lr=0.05, weight_decay=0.1"},
                      Case{"adafactor", "beta1=0.9, weight_decay=0.1"},
                      Case{"adam_w", "lr=0.05, weight_decay=0.1"},
                      Case{"adam_w_skip_params_with_zero_grad", "lr=0.05, weight_decay=0.1"}),
    [](const auto& param) { return std::string(param.param.type); });

TEST_P(GpuOptimizerTest, TrainsToTheLossesOfTheCpu) {
  expect_success(train_on("cpu", "cpu"));
  expect_success(train_on("cuda", "gpu"));
  const std::vector<double> on_cpu = losses("cpu");
  const std::vector<double> on_gpu = losses("gpu");
  ASSERT_EQ(on_cpu.size(), 12U);
  ASSERT_EQ(on_gpu.size(), 12U);
  EXPECT_GT(std::abs(on_cpu.front() - on_cpu.back()), 1e-3);
  for (std::size_t i = 0; i < on_cpu.size(); ++i) EXPECT_NEAR(on_cpu[i], on_gpu[i], 5e-4) << i;
}

TEST_P(GpuOptimizerTest, GoesOnFromACheckpoint) {
  expect_success(train_on("cuda", "whole"));
  expect_success(train_on("cuda", "parts", "5"));
  expect_success(train_on("cuda", "parts"));
  const std::vector<double> whole = losses("whole");
  const std::vector<double> parts = losses("parts");
  ASSERT_EQ(whole.size(), parts.size());
  for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(whole[i], parts[i], 1e-5) << i;
}

}  // namespace
}  // namespace pergola::test
