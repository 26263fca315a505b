// SPDX-License-Identifier: BSD-3-Clause
// `pergola train` on a GPU in each precision, in deterministic mode and with recompute.
#include "host/device/cuda.h"
#include "integration/run_test.h"

#include <cmath>

namespace pergola::test {
namespace {

class GpuPrecisionRunTest : public RunTest, public ::testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const host::CudaState state = host::probe_cuda();
    if (!state.problem.empty()) GTEST_SKIP() << state.problem;
  }

  void train_on_gpu(const std::string& folder, const Words& more) const {
    Words words = {"train", std::string(GetParam()) + ".toml", "--run-dir", folder, "--device",
                   "cuda"};
    words.insert(words.end(), more.begin(), more.end());
    expect_success(pergola(words));
  }
  [[nodiscard]] static std::string precision(const char* name) {
    return "training.precision=\"" + std::string(name) + "\"";
  }
  // The loss before the first step.
  [[nodiscard]] double first_loss(const std::string& folder) const {
    return metrics(folder).front().at("train/total_loss");
  }
};
INSTANTIATE_TEST_SUITE_P(Models, GpuPrecisionRunTest,
                         ::testing::Values("pythia", "cnn_lstm", "visual_bert"),
                         [](const auto& param) { return std::string(param.param); });

const std::string kDeterministic = "training.deterministic=true";

// A bfloat16 is rounded by up to 2^-9 = 0.002 of it, in a few layers; the first batch is the same
// in all runs, and there is no dropout, which draws other numbers for other types.
TEST_P(GpuPrecisionRunTest, EachPrecisionTrains) {
  const std::map<std::string, Words> no_dropout = {
      {"cnn_lstm",
       {"model_config.cnn_lstm.lstm.dropout=0",
        "model_config.cnn_lstm.classifier.params.dropout=0"}},
      {"pythia",
       {"model_config.pythia.image_text_modal_combine.params.dropout=0",
        "model_config.pythia.text_embeddings[0].params.dropout=0",
        "model_config.pythia.image_feature_embeddings[0].modal_combine.params.dropout=0"}},
      {"visual_bert",
       {"model_config.visual_bert.hidden_dropout_prob=0",
        "model_config.visual_bert.attention_probs_dropout_prob=0"}}};
  std::map<std::string, double> losses;
  for (const char* name : {"fp32", "tf32", "bf16", "fp16"}) {
    Words more = no_dropout.at(GetParam());
    more.push_back(precision(name));
    train_on_gpu(name, more);
    EXPECT_EQ(json(std::string(name) + "/summary.json").at("updates"), 12);
    losses[name] = first_loss(name);
  }
  const double expected = losses.at("fp32");
  for (const auto& [name, bound] :
       {std::pair("tf32", 1e-3), std::pair("bf16", 2e-2), std::pair("fp16", 3e-3)}) {
    EXPECT_NEAR(losses.at(name), expected, bound * std::abs(expected)) << name;
  }
  EXPECT_NE(losses.at("bf16"), expected) << "nothing was rounded";
  EXPECT_NE(losses.at("fp16"), expected) << "nothing was rounded";
}

TEST_P(GpuPrecisionRunTest, DeterministicRunsHaveTheSameWeightsToTheLastBit) {
  for (const std::string name : {"fp32", "bf16"}) {
    const Words more = {precision(name.c_str()), kDeterministic};
    train_on_gpu(name, more);
    train_on_gpu(name + "_again", more);
    EXPECT_TRUE(same_bytes(weights(name), weights(name + "_again"))) << name;
  }
}

// Weights, and the scaler with its count of updates. Without dropout between the layers of an LSTM:
// cuDNN has a generator of its own for it, which nobody can save.
TEST_P(GpuPrecisionRunTest, AResumedRunInFp16IsAsOneThatDidNotStop) {
  Words more = {precision("fp16"), kDeterministic};
  if (GetParam() == std::string("cnn_lstm")) more.push_back("model_config.cnn_lstm.lstm.dropout=0");
  train_on_gpu("whole", more);
  more.push_back("training.max_updates=6");
  train_on_gpu("parts", more);
  more.back() = "--resume";
  train_on_gpu("parts", more);
  EXPECT_TRUE(same_bytes(weights("whole"), weights("parts")));
  const auto scaler = [&](const std::string& run) {
    return json(run + "/checkpoints/last/state.json").at("scaler");
  };
  EXPECT_EQ(scaler("whole"), scaler("parts"));
  EXPECT_GT(scaler("whole").at("scale"), 0);
}

TEST_P(GpuPrecisionRunTest, RecomputeGivesTheSameWeights) {
  if (GetParam() != std::string("visual_bert")) GTEST_SKIP() << "has no parts to recompute";
  const std::string dropout = "model_config.visual_bert.hidden_dropout_prob=0.2";
  train_on_gpu("plain", {precision("bf16"), kDeterministic, dropout});
  train_on_gpu("recomputed",
               {precision("bf16"), kDeterministic, dropout, "training.recompute=true"});
  EXPECT_TRUE(same_bytes(weights("plain"), weights("recomputed")));
}

}  // namespace
}  // namespace pergola::test
