// SPDX-License-Identifier: BSD-3-Clause
// Training and evaluation on a GPU agree with the CPU.
#include "host/device/cuda.h"
#include "integration/run_test.h"

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class GpuTest : public RunTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
  }

  [[nodiscard]] Result train_on(const std::string& device, const std::string& folder,
                                const Words& more = {}) const {
    // Dropout draws other numbers on a GPU, and Adam makes whole steps of the rounding noise that
    // is the gradient of a bias before batch norm. Without both, the two devices do the same sums,
    // and small steps keep rounding small: at lr = 0.05 ties of the max pooling in the one-coloured
    // images grow one ulp of the input to 0.04 in cnn_lstm's losses, on the CPU alone.
    Words words = {"train",
                   std::string(GetParam()) + ".toml",
                   "--run-dir",
                   folder,
                   "--device",
                   device,
                   "optimizer={type=\"sgd\", params={lr=0.005}}"};
    words.insert(words.end(), no_dropout_.at(GetParam()).begin(), no_dropout_.at(GetParam()).end());
    words.insert(words.end(), more.begin(), more.end());
    Launch launch = RunTest::launch(words);
    launch.environment["NVIDIA_TF32_OVERRIDE"] = "0";  // convolutions in whole fp32, as on the CPU
    return run(launch);
  }

  static std::vector<double> losses(const std::vector<Json>& rows) {
    std::vector<double> all;
    for (const Json& row : rows) {
      const std::string key = row.at("split").get<std::string>() + "/total_loss";
      all.push_back(row.at(key));
    }
    return all;
  }

 private:
  const std::map<std::string, Words> no_dropout_ = {
      {"cnn_lstm",
       {"model_config.cnn_lstm.lstm.dropout=0",
        "model_config.cnn_lstm.classifier.params.dropout=0"}},
      {"pythia",
       {"model_config.pythia.image_text_modal_combine.params.dropout=0",
        "model_config.pythia.text_embeddings[0].params.dropout=0",
        "model_config.pythia.image_feature_embeddings[0].modal_combine.params.dropout=0"}}};
};
INSTANTIATE_TEST_SUITE_P(Models, GpuTest, ::testing::Values("pythia", "cnn_lstm"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(GpuTest, TrainsToTheLossesOfTheCpu) {
  expect_success(train_on("cpu", "cpu"));
  const Result gpu = train_on("cuda", "gpu");
  expect_success(gpu);
  EXPECT_THAT(gpu.err, HasSubstr("[device] cuda:0 ("));
  EXPECT_THAT(json("gpu/summary.json").at("device").get<std::string>(), StartsWith("cuda:0 ("));
  const std::vector<double> on_cpu = losses(metrics("cpu"));
  const std::vector<double> on_gpu = losses(metrics("gpu"));
  ASSERT_EQ(on_cpu.size(), on_gpu.size());
  for (std::size_t i = 0; i < on_cpu.size(); ++i) EXPECT_NEAR(on_cpu[i], on_gpu[i], 5e-4) << i;
}

TEST_P(GpuTest, CheckpointOfTheGpuScoresTheSameOnTheCpu) {
  expect_success(train_on("cuda", "run"));
  const auto test_on = [&](const char* device) {
    return pergola(
        {"test", std::string(GetParam()) + ".toml", "--run-dir", "run", "--device", device});
  };
  const Result cpu = test_on("cpu");
  const Result gpu = test_on("cuda");
  expect_success(cpu);
  expect_success(gpu);
  const auto accuracy = [](const Result& result) {
    const std::size_t begin = result.out.find("test/easy_vqa/accuracy");
    return result.out.substr(begin, result.out.find('\n', begin) - begin);
  };
  EXPECT_EQ(accuracy(cpu), accuracy(gpu));
}

TEST_P(GpuTest, StoppedAndResumedRunGoesOn) {
  expect_success(train_on("cuda", "run", {"training.max_updates=6"}));
  const Result resumed = train_on("cuda", "run", {"--resume"});
  expect_success(resumed);
  EXPECT_THAT(resumed.err, HasSubstr("at update 6 of 12"));
  EXPECT_EQ(json("run/summary.json").at("updates"), 12);
}

TEST_P(GpuTest, AutoTakesTheGpuAndANumberThatIsNotThereIsRefused) {
  const Result automatic = train_on("auto", "run", {"training.max_updates=1"});
  expect_success(automatic);
  EXPECT_THAT(automatic.err, HasSubstr("[device] cuda:0 ("));
  expect_error(train_on("cuda:99", "other"), kConfig, {"device 'cuda:99' does not exist"});
}

}  // namespace
}  // namespace pergola::test
