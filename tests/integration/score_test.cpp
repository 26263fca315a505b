// SPDX-License-Identifier: BSD-3-Clause
// The runs of configs/runs on the published data set: how good they become, and how soon they
// begin. Minutes of both cores, so ctest runs nothing beside them.
#include "integration/run_test.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kLimit{900};

// The folder where tools/setup puts the data sets (configs/defaults.toml, env.data_dir).
fs::path data_dir() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const std::string given = variable("PERGOLA_DATA_DIR"); !given.empty()) return given;
  const std::string cache = variable("XDG_CACHE_HOME");
  return (cache.empty() ? fs::path(variable("HOME")) / ".cache" : fs::path(cache)) / "pergola/data";
}

class RunsTest : public RunTest {
 protected:
  void SetUp() override {
    if (!fs::is_directory(data_dir() / "easy_vqa")) {
      GTEST_SKIP() << data_dir() << " has no easy_vqa; `tools/setup --data easy_vqa` fetches it";
    }
  }

  // `pergola train configs/runs/<model>_easy_vqa.toml MORE` on the CPU.
  [[nodiscard]] Result train(const std::string& model, const Words& more = {}) const {
    Words words = {"train",     PERGOLA_CONFIGS "/" + model + "_easy_vqa.toml",
                   "--run-dir", "run",
                   "--device",  "cpu"};
    words.insert(words.end(), more.begin(), more.end());
    Launch launch = RunTest::launch(words);
    launch.environment["PERGOLA_DATA_DIR"] = data_dir().string();
    return Process(launch).wait(kLimit);
  }

  [[nodiscard]] double test_accuracy() const {
    return json("run/summary.json").at("metrics").at("test/easy_vqa/accuracy").get<double>();
  }
};

class ScoreTest : public RunsTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Runs, ScoreTest, ::testing::Values("pythia", "cnn_lstm"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(ScoreTest, NinetyEightOfAHundredAnswersOfTheTestSplitAreRight) {
  expect_success(train(GetParam()));
  EXPECT_GE(test_accuracy(), 0.98);
}

// The best of a few, since another process may have the cores for a moment.
TEST_P(ScoreTest, FirstUpdateIsDoneWithinASecondOfTheStart) {
  double soonest = 60;
  for (int i = 0; i < 3; ++i) {
    using Seconds = std::chrono::duration<double>;
    const double start = Seconds(std::chrono::system_clock::now().time_since_epoch()).count();
    expect_success(train(GetParam(), {"training.max_updates=1", "training.max_epochs=0.00001",
                                      "training.log_interval=1", "run_type=train",
                                      "evaluation.predict=false", "--overwrite"}));
    const Json row =
        Json::parse(text("run/metrics.jsonl").substr(0, text("run/metrics.jsonl").find('\n')));
    ASSERT_EQ(row.at("split"), "train");
    soonest = std::min(soonest, row.at("time").get<double>() - start);
  }
  EXPECT_LT(soonest, 1.0);
}

// A smaller one for less than half as long as in its config, which takes six minutes.
TEST_F(RunsTest, AShortVisualBertAnswersFourOfFiveQuestions) {
  const std::string model = "model_config.visual_bert.";
  const std::string grid = "={type=\"grid\", params={channels=[16, 32, 64]}}";
  expect_success(train(
      "visual_bert",
      {model + "num_hidden_layers=2", model + "hidden_size=64", model + "intermediate_size=128",
       model + "image_encoder" + grid, "training.max_epochs=3", "optimizer.params.lr=0.001",
       "scheduler.params.num_warmup_steps=100"}));
  EXPECT_GE(test_accuracy(), 0.80);
}

}  // namespace
}  // namespace pergola::test
