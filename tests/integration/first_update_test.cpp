// SPDX-License-Identifier: BSD-3-Clause
// How soon the runs of configs/runs begin. ctest runs nothing beside them.
#include "integration/runs_test.h"

#include <algorithm>
#include <chrono>

namespace pergola::test {
namespace {

class FirstUpdateTest : public RunsTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Runs, FirstUpdateTest, ::testing::Values("pythia", "cnn_lstm"),
                         [](const auto& param) { return std::string(param.param); });

// The best of a few, since another process may have the cores for a moment.
TEST_P(FirstUpdateTest, IsDoneWithinASecondOfTheStart) {
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

}  // namespace
}  // namespace pergola::test
