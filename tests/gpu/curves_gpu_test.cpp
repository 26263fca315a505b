// SPDX-License-Identifier: BSD-3-Clause
// What makes a training on a GPU fast leaves its losses as they were: packed sequences, kernels of
// ours, recorded updates, batches copied ahead; and with all of it bfloat16, whose curve is one
// more of those that single precision gives with other seeds.
#include "host/device/cuda.h"
#include "integration/run_test.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;

class CurvesGpuTest : public RunTest {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
    if (!fs::is_directory(data_dir() / "easy_vqa")) {
      GTEST_SKIP() << data_dir() << " has no easy_vqa; `tools/setup --data easy_vqa` fetches it";
    }
  }

  static fs::path data_dir() {
    const char* given = std::getenv("PERGOLA_DATA_DIR");
    const char* home = std::getenv("HOME");
    if (given != nullptr) return given;
    return fs::path(home == nullptr ? "" : home) / ".cache/pergola/data";
  }

  // The training losses of visual_bert_easy_vqa.toml, each the mean of `interval` updates.
  [[nodiscard]] std::vector<double> losses(const std::string& run, int updates, int interval,
                                           const Words& more) const {
    Words words = {"train",
                   PERGOLA_CONFIGS "/visual_bert_easy_vqa.toml",
                   "--run-dir",
                   run,
                   "--device",
                   "cuda",
                   "run_type=train",
                   "training.early_stop.enabled=false",
                   "training.max_updates=" + std::to_string(updates),
                   "training.log_interval=" + std::to_string(interval),
                   "training.checkpoint_interval=0"};
    words.insert(words.end(), more.begin(), more.end());
    Launch launch = RunTest::launch(words);
    launch.environment["PERGOLA_DATA_DIR"] = data_dir().string();
    expect_success(Process(launch).wait(std::chrono::seconds(120)));
    std::vector<double> found;
    for (const Json& line : metrics(run)) {
      if (line.contains("train/total_loss")) found.push_back(line.at("train/total_loss"));
    }
    return found;
  }

  const Words off_ = {"model_config.visual_bert.attention=sdpa", "training.fused_kernels=false",
                      "training.cuda_graphs=false", "training.pin_memory=false",
                      "training.precision=fp32"};
  const Words on_ = {"model_config.visual_bert.attention=packed", "training.cuda_graphs=true"};
};

TEST_F(CurvesGpuTest, LossesInSinglePrecisionAreThoseWithoutTheOptimizations) {
  Words fast = on_;
  fast.emplace_back("training.precision=fp32");
  const std::vector<double> expected = losses("off", 20, 1, off_);
  const std::vector<double> found = losses("on", 20, 1, fast);
  ASSERT_EQ(expected.size(), 20U);
  ASSERT_EQ(found.size(), 20U);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-4) << i;
}

// At each of twelve points of 300 updates, the mean of five seeds lies among the five of single
// precision.
TEST_F(CurvesGpuTest, InHalfPrecisionItLearnsAsInSingle) {
  constexpr int kSeeds = 5;
  std::vector<std::vector<double>> single;
  std::vector<double> half;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    const std::string number = std::to_string(seed);
    Words plain = off_;
    plain.push_back("training.seed=" + number);
    Words fast = on_;
    fast.insert(fast.end(), {"training.precision=bf16", "training.seed=" + number});
    single.push_back(losses("fp32_" + number, 300, 25, plain));
    const std::vector<double> own = losses("bf16_" + number, 300, 25, fast);
    ASSERT_EQ(own.size(), 12U);
    half.resize(own.size());
    for (std::size_t i = 0; i < own.size(); ++i) half[i] += own[i] / kSeeds;
  }
  for (std::size_t i = 0; i < half.size(); ++i) {
    std::vector<double> at;
    for (const auto& curve : single) at.push_back(curve.at(i));
    const auto [least, most] = std::minmax_element(at.begin(), at.end());
    EXPECT_GE(half[i], *least) << "updates to " << 25 * (i + 1);
    EXPECT_LE(half[i], *most) << "updates to " << 25 * (i + 1);
    std::printf("[ curve    ] %3zu updates: bf16 %.4f, fp32 %.4f to %.4f\n", 25 * (i + 1), half[i],
                *least, *most);
  }
}

}  // namespace
}  // namespace pergola::test
