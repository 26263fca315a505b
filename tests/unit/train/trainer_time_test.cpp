// SPDX-License-Identifier: BSD-3-Clause
// What a trainer does by the clock, in one process and over several.
#include "unit/train/test_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace pergola::host {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Ge;
using testing::Le;

class TrainerTimeTest : public TrainerTest {
 protected:
  static TrainerOptions limited(double max_seconds, std::int64_t max_updates = 1'000'000) {
    TrainerOptions options = options_for(max_updates);
    options.max_seconds = max_seconds;
    return options;
  }
  // Validates when a thousand seconds have passed.
  static TrainerOptions validating_by_time() {
    TrainerOptions options = options_for(7);
    options.evaluation_interval = {1000, Duration::Unit::kSeconds};
    return options;
  }
  // What two updates leave that take so many milliseconds each.
  static CheckpointContent two_updates(const TrainerOptions& options, int milliseconds = 0) {
    TestRun run(options, /*stop_after=*/2);
    take(run, milliseconds);
    static_cast<void>(run.trainer->run());
    return snapshot(*run.trainer);
  }
  static void take(TestRun& run, int milliseconds) {
    run.model->on_forward = [milliseconds](ModelOutput&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    };
  }
  static std::int64_t updates_of(const TestRun& run) {
    return run.trainer->state().progress.update;
  }
};

TEST_F(TrainerTimeTest, MaxTimeMakesTheUpdateInHandTheLastOne) {
  TestRun run(limited(0.05));
  take(run, 20);
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
  EXPECT_THAT(updates_of(run), AllOf(Ge(1), Le(3)));
  EXPECT_TRUE(run.trainer->log_due());
  EXPECT_EQ(run.hooks[run.hooks.size() - 3], "validation_end");
}

TEST_F(TrainerTimeTest, MaxTimeCountsWhatEarlierProcessesTook) {
  CheckpointContent saved = two_updates(limited(1000));
  saved.state["seconds"] = 999.9;
  TestRun run(limited(1000));
  run.trainer->restore(saved);
  take(run, 110);
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
  EXPECT_EQ(updates_of(run), 3);
}

TEST_F(TrainerTimeTest, ARunWhoseTimeIsUsedUpTrainsNoFurther) {
  CheckpointContent saved = two_updates(limited(1000));
  saved.state["seconds"] = 1000.0;
  TestRun run(limited(1000));
  run.trainer->restore(saved);
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
  EXPECT_EQ(updates_of(run), 2);
  EXPECT_THAT(run.hooks, ElementsAre("train_start", "train_end"));
}

// Two updates of 10 ms are more than the limit that comes later.
TEST_F(TrainerTimeTest, TimeIsSavedWhereNothingLimitsIt) {
  const CheckpointContent saved = two_updates(options_for(7), /*milliseconds=*/10);
  ASSERT_NE(saved.state.find("seconds"), nullptr);
  TestRun run(limited(0.02));
  run.trainer->restore(saved);
  EXPECT_EQ(run.trainer->run(), Outcome::kFinished);
  EXPECT_EQ(updates_of(run), 2);
}

TEST_F(TrainerTimeTest, MaxTimeLeftIsWhatTheLimitStillGives) {
  EXPECT_EQ(TestRun(options_for(7)).trainer->max_time_left(), std::nullopt);
  CheckpointContent saved = two_updates(options_for(7));
  saved.state["seconds"] = 400.0;
  TestRun run(limited(1000, /*max_updates=*/3));
  run.trainer->restore(saved);
  static_cast<void>(run.trainer->run());
  EXPECT_THAT(run.trainer->max_time_left().value(), AllOf(Le(600), Ge(540)));
  saved.state["seconds"] = 4000.0;
  run.trainer->restore(saved);
  EXPECT_EQ(run.trainer->max_time_left(), 0.0);
}

// A job that is stopped more often than it would validate.
TEST_F(TrainerTimeTest, SecondsOfAnIntervalGoOnInAResumedRun) {
  CheckpointContent saved = two_updates(validating_by_time(), /*milliseconds=*/10);
  const Value* const passed = saved.state.find("evaluation_seconds");
  ASSERT_NE(passed, nullptr);
  EXPECT_GE(passed->as_float(), 0.02);
  saved.state["evaluation_seconds"] = 1000.0;
  TestRun run(validating_by_time());
  run.trainer->restore(saved);
  std::vector<std::int64_t> updates;
  run.on_validate = [&] { updates.push_back(updates_of(run)); };
  static_cast<void>(run.trainer->run());
  EXPECT_THAT(updates, ElementsAre(3, 7));  // the first that is done, and at the end
  EXPECT_LT(run.trainer->content().state.find("evaluation_seconds")->as_float(), 1000);
}

TEST_F(TrainerTimeTest, AStateWithoutTheSecondsOfAnIntervalBeginsOne) {
  CheckpointContent saved = two_updates(validating_by_time());
  saved.state.as_table().erase("evaluation_seconds");
  TestRun run(validating_by_time());
  run.trainer->restore(saved);
  static_cast<void>(run.trainer->run());
  EXPECT_EQ(run.validations, 1);  // at the end
}

TEST_F(TrainerTimeTest, AnIntervalInUpdatesSavesNoSeconds) {
  EXPECT_EQ(two_updates(options_for(7)).state.find("evaluation_seconds"), nullptr);
}

}  // namespace
}  // namespace pergola::host
