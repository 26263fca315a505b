// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/spike_guard_callback.h"
#include "host/support/json.h"
#include "pergola/rng.h"
#include "unit/callbacks/captured_log.h"
#include "unit/callbacks/hook_driver.h"
#include "unit/support/non_finite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using test::kInf;
using test::kNan;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SpikeGuardTest : public ::testing::Test {
 protected:
  // Judges by the last four updates; more than three standard deviations are too many.
  static SpikeGuardConfig config(GuardAction action = GuardAction::kSkip, std::int64_t limit = 10) {
    return {.enabled = true, .action = action, .zscore = 3, .window = 4, .limit = limit};
  }
  // The losses 1, 2, 3, 4: mean 2.5, standard deviation sqrt((2.25 + 0.25) * 2 / 4) = 1.118.
  void fill(SpikeGuardCallback& guard, std::optional<double> norm = std::nullopt) {
    for (const double loss : {1.0, 2.0, 3.0, 4.0}) {
      EXPECT_FALSE(driver_.update(guard, {loss}, norm ? std::optional(*norm * loss) : norm));
    }
  }

  CapturedLog log_;
  HookDriver driver_;
};

TEST(RollingWindowTest, ZScoreIsOfTheLastValuesAndTheirPopulation) {
  RollingWindow window(4);
  for (const double value : {100.0, 1.0, 2.0, 3.0}) window.add(value);
  window.add(4);  // the 100 goes
  EXPECT_DOUBLE_EQ(window.zscore(5).value(), 2.5 / std::sqrt(1.25));
  EXPECT_DOUBLE_EQ(window.zscore(2.5).value(), 0);
}

TEST(RollingWindowTest, ThereIsNoneBeforeItIsFullAndWhereAllIsEqual) {
  RollingWindow window(4);
  for (int i = 0; i < 3; ++i) window.add(0.1);
  EXPECT_FALSE(window.zscore(1e9).has_value());
  window.add(0.1 + 1e-9);  // less than float32 tells apart
  EXPECT_FALSE(window.zscore(1e9).has_value());
  window.add(0.2);
  EXPECT_TRUE(window.zscore(1e9).has_value());
}

TEST_F(SpikeGuardTest, NothingIsJudgedUntilTheWindowIsFull) {
  SpikeGuardCallback guard(config());
  for (const double loss : {1.0, 1e6, 1.0, 1e9}) EXPECT_FALSE(driver_.update(guard, {loss}));
  EXPECT_THAT(log_.warnings(), IsEmpty());
}

// 2.5 + 3 * 1.118 = 5.854
TEST_F(SpikeGuardTest, ASpikeIsSkippedAndDoesNotChangeTheWindow) {
  SpikeGuardCallback guard(config());
  fill(guard);
  const Value before = *guard.state_dict().find("losses");
  EXPECT_TRUE(driver_.update(guard, {5.9}));
  EXPECT_EQ(*guard.state_dict().find("losses"), before);
  EXPECT_FALSE(driver_.update(guard, {5.8}));
  // (5.9 - 2.5) / 1.118 = 3.041
  EXPECT_THAT(log_.warnings(),
              ElementsAre("[spike] update 5 is skipped: its loss 5.9 is 3.04105 standard "
                          "deviations above the mean of the last 4"));
}

TEST_F(SpikeGuardTest, ALossThatFallsIsNoSpike) {
  SpikeGuardCallback guard(config());
  fill(guard);
  EXPECT_FALSE(driver_.update(guard, {-1000.0}));
}

TEST_F(SpikeGuardTest, TheMeanOfAnUpdatesBatchesIsJudged) {
  SpikeGuardCallback guard(config());
  fill(guard);
  EXPECT_FALSE(driver_.update(guard, {9.0, 1.0}));  // 5
  EXPECT_EQ(guard.state_dict().find("losses[3]")->as_float(), 5);
}

TEST_F(SpikeGuardTest, AllLossesOfABatchCountTogether) {
  SpikeGuardCallback guard(config());
  const LossMap two = {{"a", torch::tensor({1.0, 3.0})}, {"b", torch::tensor(4.0)}};
  EXPECT_FALSE(driver_.update_with(guard, {two}));
  EXPECT_EQ(guard.state_dict().find("losses[0]")->as_float(), 2 + 4);
}

// Norms 10, 20, 30, 40: 25 + 3 * 11.18 = 58.54.
TEST_F(SpikeGuardTest, GradientsThatSpikeAreSkippedWhateverTheLoss) {
  SpikeGuardCallback guard(config());
  fill(guard, /*norm=*/10);
  EXPECT_TRUE(driver_.update(guard, {2.5}, 58.6));
  EXPECT_FALSE(driver_.update(guard, {2.5}, 58.5));
  EXPECT_THAT(log_.warnings(), ElementsAre(HasSubstr("the norm of its gradients 58.6 is 3.00")));
}

TEST_F(SpikeGuardTest, WarnGoesOnAndKeepsTheValue) {
  SpikeGuardCallback guard(config(GuardAction::kWarn));
  fill(guard);
  EXPECT_FALSE(driver_.update(guard, {100.0}));
  EXPECT_THAT(log_.warnings(),
              ElementsAre(HasSubstr("[spike] update 5: its loss 100 is 87.2067 ")));
  EXPECT_EQ(guard.state_dict().find("losses[3]")->as_float(), 100);
}

TEST_F(SpikeGuardTest, AfterTheLimitOneIsAccepted) {
  SpikeGuardCallback guard(config(GuardAction::kSkip, /*limit=*/2));
  fill(guard);
  EXPECT_TRUE(driver_.update(guard, {100.0}));
  EXPECT_TRUE(driver_.update(guard, {100.0}));
  EXPECT_FALSE(driver_.update(guard, {100.0}));
  EXPECT_THAT(log_.warnings().back(),
              HasSubstr("update 7 is accepted, after as many skipped ones as "
                        "training.spike_guard.limit allows: its loss 100"));
  EXPECT_EQ(guard.state_dict().find("skipped")->as_integer(), 2);
  EXPECT_EQ(guard.state_dict().find("skipped_in_row")->as_integer(), 0);
}

TEST_F(SpikeGuardTest, WhatIsNotFiniteIsNeitherJudgedNorKept) {
  SpikeGuardCallback guard(config());
  fill(guard, /*norm=*/10);
  const Value before = guard.state_dict();
  EXPECT_FALSE(driver_.update(guard, {kNan}, 10));
  EXPECT_FALSE(driver_.update(guard, {kInf}, 10));
  EXPECT_FALSE(driver_.update(guard, {1.0}, kInf));
  EXPECT_EQ(guard.state_dict(), before);
}

TEST_F(SpikeGuardTest, AnUpdateThatAnotherGuardSkipsIsNotKept) {
  SpikeGuardCallback guard(config());
  fill(guard);
  const Value before = guard.state_dict();
  guard.on_update_start(driver_.state);
  guard.on_batch_end(driver_.state, driver_.batch,
                     {.scores = {}, .losses = LossMap{{"a", torch::tensor(2.0)}}});
  driver_.state.skip_step = true;
  guard.on_step_start(driver_.state);
  EXPECT_EQ(guard.state_dict(), before);
}

// Losses in [1, 2), with a spike now and then; state passes through JSON as in a checkpoint.
TEST_F(SpikeGuardTest, ARunThatIsCutAnywhereDecidesAsTheOneThatIsNot) {
  constexpr std::int64_t kUpdates = 30;
  const auto loss_of = [](std::int64_t update) {
    return Rng(3, update).uniform() + (update % 7 == 6 ? 50.0 : 1.0);
  };
  SpikeGuardCallback straight(config());
  std::vector<bool> skips;
  for (std::int64_t i = 0; i < kUpdates; ++i) {
    skips.push_back(driver_.update(straight, {loss_of(i)}, 10 * loss_of(i)));
  }
  for (std::int64_t cut = 0; cut < kUpdates; ++cut) {
    SpikeGuardCallback first(config());
    for (std::int64_t i = 0; i < cut; ++i) driver_.update(first, {loss_of(i)}, 10 * loss_of(i));
    SpikeGuardCallback second(config());
    second.load_state_dict(from_json(to_json(first.state_dict()), "state.json"));
    for (std::int64_t i = cut; i < kUpdates; ++i) {
      EXPECT_EQ(driver_.update(second, {loss_of(i)}, 10 * loss_of(i)), skips[i]) << cut;
    }
    EXPECT_EQ(second.state_dict(), straight.state_dict()) << cut;
  }
}

}  // namespace
}  // namespace pergola::host
