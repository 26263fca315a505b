// SPDX-License-Identifier: BSD-3-Clause
// Training that is stopped, and goes on from what was saved.
#include "unit/train/test_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace pergola::host {
namespace {

using testing::ElementsAre;

// All of it but what the clock says.
std::string state_of(const TestRun& run) {
  Value state = run.trainer->content().state;
  state.as_table().erase("seconds");
  return to_string(state);
}

TEST_F(TrainerTest, StoppedAfterAnyUpdateAndResumedEndsWithTheSameWeights) {
  for (const std::int64_t frequency : {1, 2}) {
    TestRun straight(options_for(7, frequency));
    static_cast<void>(straight.trainer->run());
    for (std::int64_t stop = 1; stop < 7; ++stop) {
      CheckpointContent saved;
      {
        TestRun first(options_for(7, frequency), stop);
        static_cast<void>(first.trainer->run());
        ASSERT_EQ(first.trainer->state().progress.update, stop);
        saved = snapshot(*first.trainer);
      }
      TestRun second(options_for(7, frequency), -1, /*workers=*/2);
      second.trainer->restore(saved);
      static_cast<void>(second.trainer->run());
      expect_equal(second.weights(), straight.weights());
      EXPECT_EQ(state_of(second), state_of(straight)) << "stopped after " << stop;
    }
  }
}

TEST_F(TrainerTest, AStopSignalEndsAfterTheUpdateAndIsReported) {
  TestRun run(options_for(50));
  std::int64_t calls = 0;
  run.model->on_forward = [&](ModelOutput&) {
    if (++calls == 3) std::raise(SIGINT);
  };
  EXPECT_EQ(run.trainer->run(), Outcome::kInterrupted);
  EXPECT_EQ(run.trainer->state().progress.update, 3);
  EXPECT_EQ(run.hooks.back(), "train_end");
}

TEST_F(TrainerTest, AValidationThatASignalCutsShortIsMadeUpForFirstOfAll) {
  TestRun straight(options_for(4));
  static_cast<void>(straight.trainer->run());

  CheckpointContent saved;
  {
    TestRun first(options_for(4));
    first.on_validate = [] {
      static_cast<void>(std::raise(SIGINT));
      stop_if_asked();
    };
    EXPECT_EQ(first.trainer->run(), Outcome::kInterrupted);
    EXPECT_EQ(first.trainer->state().progress.update, 3);
    EXPECT_THAT(first.hooks, testing::Not(testing::Contains("validation_end")));
    saved = snapshot(*first.trainer);
    EXPECT_EQ(*saved.state.find("progress.validation_pending"), Value(true));
  }
  note_stop_signals();
  TestRun second(options_for(4));
  second.trainer->restore(saved);
  EXPECT_EQ(second.trainer->run(), Outcome::kFinished);
  EXPECT_THAT(second.hooks,
              ElementsAre("train_start", "validation_start", "validation_end", "update_complete",
                          "update_start", "update_end", "validation_start", "validation_end",
                          "update_complete", "train_end"));
  expect_equal(second.weights(), straight.weights());
  EXPECT_EQ(state_of(second), state_of(straight));
}

// Of a program that knew neither averages, scalers nor times.
TEST_F(TrainerTest, AnOlderCheckpointIsResumedAsOne) {
  TestRun straight(options_for(7));
  static_cast<void>(straight.trainer->run());
  CheckpointContent saved;
  {
    TestRun first(options_for(7), /*stop_after=*/4);
    static_cast<void>(first.trainer->run());
    saved = snapshot(*first.trainer);
  }
  for (const char* key : {"validation_pending", "interval_ended"}) {
    saved.state["progress"].as_table().erase(key);
  }
  saved.state.as_table().erase("seconds");
  TestRun second(options_for(7));
  second.trainer->restore(saved);
  static_cast<void>(second.trainer->run());
  expect_equal(second.weights(), straight.weights());
}

TEST_F(TrainerTest, StateOfAnotherModelIsRefused) {
  TestRun run(options_for(2));
  CheckpointContent content = snapshot(*run.trainer);
  content.model.pop_back();
  EXPECT_THROW(run.trainer->restore(content), Error);
}

}  // namespace
}  // namespace pergola::host
