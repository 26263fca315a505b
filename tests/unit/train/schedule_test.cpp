// SPDX-License-Identifier: BSD-3-Clause
// Schedules in a run: what they are told of validations, and how they go on when it is resumed.
#include "unit/train/test_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pergola::host {
namespace {

// Halves the rate at each validation that is no better than the best one.
const TestSchedule kPlateau = {"reduce_on_plateau",
                               {{"mode", "max"}, {"factor", 0.5}, {"patience", 0}}};
// Three updates are an epoch.
const TestSchedule kOneCycleByEpoch = {"one_cycle", {{"num_training_steps", 5}}, 3};

TrainerOptions validating(std::int64_t max_updates, std::int64_t interval) {
  TrainerOptions options = options_for(max_updates);
  options.evaluation_interval = {static_cast<double>(interval)};
  options.criteria = "val/boring/accuracy";
  return options;
}

// The factor of the last update, whose base rate is 0.05.
double last_factor(const TestRun& run) { return run.trainer->lr() / 0.05; }

TEST_F(TrainerTest, ASchedulerObservesTheCriterionOfEachValidation) {
  TestRun run(validating(7, 2), -1, 0, kPlateau);
  run.on_validate = [&] { run.accuracy = run.validations == 2 ? 0.9 : 0.5; };
  static_cast<void>(run.trainer->run());
  // Validations at 2 (the first), 4 (better), 6 (worse) and 7 (after the last update).
  EXPECT_DOUBLE_EQ(last_factor(run), 0.5);
  EXPECT_EQ(run.validations, 4);
}

TEST_F(TrainerTest, ACriterionThatIsNotANumberIsNoImprovement) {
  TestRun run(validating(5, 2), -1, 0, kPlateau);
  run.accuracy = std::nan("");
  static_cast<void>(run.trainer->run());
  EXPECT_DOUBLE_EQ(last_factor(run), 0.25);  // after those at 2 and 4
}

TEST_F(TrainerTest, AValidationWithoutTheCriterionTellsASchedulerNothing) {
  TrainerOptions options = validating(5, 2);
  options.criteria = "val/boring/other";
  TestRun run(options, -1, 0, kPlateau);
  static_cast<void>(run.trainer->run());
  EXPECT_DOUBLE_EQ(last_factor(run), 1);
}

TEST_F(TrainerTest, AScheduleByEpochChangesAtTheBeginningOfAnEpoch) {
  std::vector<double> factors;
  for (std::int64_t updates = 1; updates <= 7; ++updates) {
    TestRun run(options_for(updates), -1, 0, {"exponential", {{"gamma", 0.5}}, 3});
    static_cast<void>(run.trainer->run());
    factors.push_back(last_factor(run));
  }
  EXPECT_THAT(factors, testing::ElementsAre(1, 1, 1, 0.5, 0.5, 0.5, 0.25));
}

TEST_F(TrainerTest, ARateThatIsNoneIsAMatterOfTheConfig) {
  TrainerOptions options = options_for(3);
  options.scheduler = "exponential";
  TestRun run(options, -1, 0, {"exponential", {{"gamma", 1e200}}});
  try {
    static_cast<void>(run.trainer->run());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_STREQ(error.what(),
                 "scheduler 'exponential' makes the learning rate of update 2 5e+198, 1e+200 times "
                 "optimizer.params.lr; expected at most 1e+15: check scheduler.params");
  }
}

// A run that first ended after `stop` updates, and validated then, because it was the end.
TEST_F(TrainerTest, AScheduleGoesOnAsIfTheRunHadNotEnded) {
  for (const TestSchedule& schedule : {kPlateau, kOneCycleByEpoch}) {
    for (const std::int64_t interval : {0, 2}) {
      TestRun straight(validating(12, interval), -1, 0, schedule);
      static_cast<void>(straight.trainer->run());
      for (std::int64_t stop = 1; stop < 12; ++stop) {
        CheckpointContent saved;
        {
          TestRun first(validating(stop, interval), -1, 0, schedule);
          static_cast<void>(first.trainer->run());
          saved = snapshot(*first.trainer);
        }
        TestRun second(validating(12, interval), -1, 0, schedule);
        second.trainer->restore(saved);
        static_cast<void>(second.trainer->run());
        expect_equal(second.weights(), straight.weights());
        EXPECT_EQ(to_string(*second.trainer->content().state.find("scheduler")),
                  to_string(*straight.trainer->content().state.find("scheduler")))
            << schedule.type << " ended at " << stop;
      }
    }
  }
}

}  // namespace
}  // namespace pergola::host
