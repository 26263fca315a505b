// SPDX-License-Identifier: BSD-3-Clause
// The factors are MMF's.
#include "host/model/schedulers.h"

#include "pergola/error.h"

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

TEST(SchedulersTest, PythiaOnVqa2HasMmfsFactors) {
  StepsScheduler schedule{
      Config(Value::Table{{"use_warmup", true},
                          {"warmup_factor", 0.2},
                          {"warmup_iterations", 1000},
                          {"lr_steps", Value::Array{15000, 18000, 20000, 21000}},
                          {"lr_ratio", 0.1}})};
  const std::pair<std::int64_t, double> expected[] = {{0, .2},      {1, .2008},    {500, .6},
                                                      {1000, 1},    {14999, 1},    {15000, .1},
                                                      {18000, .01}, {20000, 1e-3}, {21000, 1e-4}};
  for (const auto& [update, factor] : expected)
    EXPECT_NEAR(schedule.factor(update), factor, 1e-12) << update;
}

TEST(SchedulersTest, MultiStepHasMmfsFactors) {
  MultiStepScheduler schedule{Config(Value::Table{{"use_warmup", true},
                                                  {"warmup_factor", 0.2},
                                                  {"warmup_iterations", 4},
                                                  {"lr_steps", Value::Array{6, 8}}})};
  const double expected[] = {.2, .4, .6, .8, 1, 1, .1, .1, .01, .01};
  for (int i = 0; i < 10; ++i) EXPECT_NEAR(schedule.factor(i), expected[i], 1e-12) << i;
}

TEST(SchedulersTest, MultiStepsWarmupMustEndBeforeTheFirstStep) {
  EXPECT_THROW(
      MultiStepScheduler(Config(Value::Table{
          {"use_warmup", true}, {"warmup_iterations", 6}, {"lr_steps", Value::Array{6, 8}}})),
      Error);
}

TEST(SchedulersTest, WarmupLinearHasMmfsFactors) {
  WarmupLinearScheduler schedule{
      Config(Value::Table{{"num_warmup_steps", 4}, {"num_training_steps", 12}})};
  const double expected[] = {0, .25, .5, .75, 1, .875, .75, .625, .5, .375, .25, .125, 0, 0};
  for (int i = 0; i < 14; ++i) EXPECT_NEAR(schedule.factor(i), expected[i], 1e-12) << i;
}

TEST(SchedulersTest, WarmupCosineHasMmfsFactors) {
  WarmupCosineScheduler schedule{
      Config(Value::Table{{"num_warmup_steps", 4}, {"num_training_steps", 12}})};
  const double expected[] = {0,       .25, .5,      .75,     1,      .96194, .853553,
                             .691342, .5,  .308658, .146447, .03806, 0};
  for (int i = 0; i < 13; ++i) EXPECT_NEAR(schedule.factor(i), expected[i], 1e-5) << i;
}

TEST(SchedulersTest, WithoutWarmupItStartsAtOne) {
  WarmupLinearScheduler schedule{Config(Value::Table{{"num_training_steps", 10}})};
  EXPECT_EQ(schedule.factor(0), 1.0);
  EXPECT_EQ(StepsScheduler(Config()).factor(0), 1.0);
}

TEST(SchedulersTest, BadParametersAreRefused) {
  EXPECT_THROW(StepsScheduler(Config(Value::Table{{"lr_steps", Value::Array{8, 6}}})), Error);
  EXPECT_THROW(WarmupLinearScheduler{Config()}, Error);
  EXPECT_THROW(StepsScheduler(Config(Value::Table{{"steps", 1}})), Error);
  EXPECT_THROW(StepsScheduler(Config(Value::Table{{"lr_ratio", 2}, {"lr_steps", Value::Array{1}}})),
               Error);
  EXPECT_THROW(StepsScheduler(Config(Value::Table{{"warmup_iterations", 0}, {"use_warmup", true}})),
               Error);
}

TEST(SchedulersTest, NumbersWithoutEffectHaveNoBounds) {
  StepsScheduler schedule{
      Config(Value::Table{{"lr_ratio", 2}, {"warmup_iterations", 0}, {"warmup_factor", 3}})};
  EXPECT_EQ(schedule.factor(0), 1.0);
  EXPECT_EQ(schedule.factor(5000), 1.0);
}

}  // namespace
}  // namespace pergola::host
