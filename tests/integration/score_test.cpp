// SPDX-License-Identifier: BSD-3-Clause
// How good the runs of configs/runs become. Minutes each, on one thread, so that ctest has work for
// the other cores.
#include "integration/runs_test.h"

namespace pergola::test {
namespace {

class ScoreTest : public RunsTest {
 protected:
  [[nodiscard]] double accuracy_of(const std::string& model, Words more = {}) const {
    more.emplace_back("training.num_threads=1");
    expect_success(train(model, more));
    return json("run/summary.json").at("metrics").at("test/easy_vqa/accuracy").get<double>();
  }
};

class WholeRunTest : public ScoreTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Runs, WholeRunTest, ::testing::Values("pythia", "cnn_lstm"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(WholeRunTest, NinetyEightOfAHundredAnswersOfTheTestSplitAreRight) {
  EXPECT_GE(accuracy_of(GetParam()), 0.98);
}

// A smaller one for less than half as long as in its config, which takes six minutes.
TEST_F(ScoreTest, AShortVisualBertAnswersFourOfFiveQuestions) {
  const std::string model = "model_config.visual_bert.";
  const std::string grid = "={type=\"grid\", params={channels=[16, 32, 64]}}";
  EXPECT_GE(
      accuracy_of("visual_bert", {model + "num_hidden_layers=2", model + "hidden_size=64",
                                  model + "intermediate_size=128", model + "image_encoder" + grid,
                                  "training.max_epochs=3", "optimizer.params.lr=0.001",
                                  "scheduler.params.num_warmup_steps=100"}),
      0.80);
}

}  // namespace
}  // namespace pergola::test
