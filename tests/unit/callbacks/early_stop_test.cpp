// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/early_stop_callback.h"
#include "unit/callbacks/checkpoint_run.h"
#include "unit/support/non_finite.h"

#include <gmock/gmock.h>

#include <cstdint>
#include <limits>

namespace pergola::host {
namespace {

using test::kNan;
using ::testing::HasSubstr;
using ::testing::Not;

// The best validation is that of update 4.
class EarlyStopTest : public CheckpointRunTest {
 protected:
  EarlyStopTest() {
    values_ = {{2, 0.5}, {4, 0.3}, {6, 0.4}, {8, 0.35}, {10, 0.4}, {12, 0.2}};
    config_.training.checkpoint_interval = {0, Duration::Unit::kUpdates};
    patience_ = 2;
  }
};

// 4 + 2 is not less than 6, and is less than 8.
TEST_F(EarlyStopTest, TrainingEndsOncePatienceIsOver) {
  const auto [best, log] = run_and_listen(12);
  EXPECT_EQ(updates_, 8);
  EXPECT_EQ(best, (BestResult{4, 0.3}));
  EXPECT_EQ(update_of("last"), 8);
  EXPECT_EQ(update_of("best"), 4);
  EXPECT_THAT(log,
              HasSubstr("[early_stop] val/total_loss was not better than 0.3, of update 4, for "
                        "more than 2 updates (training.early_stop.patience): training ends "
                        "after update 8\n"));
}

TEST_F(EarlyStopTest, EnoughPatienceLetsItGoOn) {
  patience_ = 7;  // 4 + 7 is less than 12, whose value is better
  EXPECT_EQ(run(12), (BestResult{12, 0.2}));
  EXPECT_EQ(updates_, 12);
}

TEST_F(EarlyStopTest, PatienceMayBeAsLongAsANumberCanBe) {
  patience_ = std::numeric_limits<std::int64_t>::max();
  static_cast<void>(run(12));
  EXPECT_EQ(updates_, 12);
}

TEST_F(EarlyStopTest, TheUpdateOfTheBestComesBack) {
  static_cast<void>(run(5));
  EXPECT_EQ(run(12, /*resume=*/true).update, 4);
  EXPECT_EQ(updates_, 8);
}

TEST_F(EarlyStopTest, ARunThatWasStoppedHasNothingLeftUnlessPatienceIsRaised) {
  static_cast<void>(run(12));
  const auto [best, log] = run_and_listen(12, /*resume=*/true);
  EXPECT_EQ(updates_, 8);
  EXPECT_THAT(log, HasSubstr("[early_stop] the training was stopped early, after update 8; to go "
                             "on, raise training.early_stop.patience\n"));
  patience_ = 5;  // 4 + 5 is less than 10
  static_cast<void>(run(12, /*resume=*/true));
  EXPECT_EQ(updates_, 10);
}

// The validation of update 7 is there only because the run ends.
TEST_F(EarlyStopTest, AValidationOfTheEndDecidesNothing) {
  const auto [best, log] = run_and_listen(7);
  EXPECT_THAT(log, Not(HasSubstr("[early_stop]")));
  values_[8] = 0.1;
  EXPECT_EQ(run(9, /*resume=*/true), (BestResult{8, 0.1}));
}

TEST_F(EarlyStopTest, WithoutAnyNumberPatienceBeginsWithTheTraining) {
  for (auto& [update, value] : values_) value = kNan;
  patience_ = 4;
  const auto [best, log] = run_and_listen(12);
  EXPECT_EQ(updates_, 6);
  EXPECT_THAT(log, HasSubstr("[early_stop] val/total_loss was no finite number for more than 4 "
                             "updates (training.early_stop.patience): training ends after update "
                             "6\n"));
}

}  // namespace
}  // namespace pergola::host
