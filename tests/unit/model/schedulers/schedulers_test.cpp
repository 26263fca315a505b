// SPDX-License-Identifier: BSD-3-Clause
// MMF's factors, and those of torch's and transformers' schedules (tools/reference/schedulers.py).
#include "host/model/builder.h"
#include "host/model/builtins.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

namespace pergola::host {
namespace {

using testing::HasSubstr;

const Registry& registry() {
  static const Registry parts = [] {
    Registry all;
    all.publish(builtin_model_parts(), "host");
    return all;
  }();
  return parts;
}

std::unique_ptr<Scheduler> make(const std::string& type, Value::Table params,
                                RunLength length = {.updates = 100}) {
  return build_scheduler(registry(), type, Config(std::move(params), "scheduler.params"), length);
}

std::string error_of_scheduler(const std::string& type, Value::Table params) {
  try {
    make(type, std::move(params));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.what();
  }
  return "(no error)";
}

void expect_factors(Scheduler& schedule, const std::vector<double>& expected, double tolerance) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(schedule.factor(static_cast<std::int64_t>(i)), expected[i], tolerance) << i;
  }
}

TEST(SchedulersTest, PythiaOnVqa2HasMmfsFactors) {
  const auto schedule = make("pythia", {{"use_warmup", true},
                                        {"warmup_factor", 0.2},
                                        {"warmup_iterations", 1000},
                                        {"lr_steps", Value::Array{15000, 18000, 20000, 21000}},
                                        {"lr_ratio", 0.1}});
  const std::pair<std::int64_t, double> expected[] = {{0, .2},      {1, .2008},    {500, .6},
                                                      {1000, 1},    {14999, 1},    {15000, .1},
                                                      {18000, .01}, {20000, 1e-3}, {21000, 1e-4}};
  for (const auto& [update, factor] : expected) {
    EXPECT_NEAR(schedule->factor(update), factor, 1e-12) << update;
  }
}

TEST(SchedulersTest, MultiStepHasMmfsFactors) {
  const auto schedule = make("multi_step", {{"use_warmup", true},
                                            {"warmup_factor", 0.2},
                                            {"warmup_iterations", 4},
                                            {"lr_steps", Value::Array{6, 8}}});
  expect_factors(*schedule, {.2, .4, .6, .8, 1, 1, .1, .1, .01, .01}, 1e-12);
}

TEST(SchedulersTest, WarmupLinearHasMmfsFactors) {
  const auto schedule =
      make("warmup_linear", {{"num_warmup_steps", 4}, {"num_training_steps", 12}});
  expect_factors(*schedule, {0, .25, .5, .75, 1, .875, .75, .625, .5, .375, .25, .125, 0, 0},
                 1e-12);
}

TEST(SchedulersTest, WarmupCosineHasMmfsFactors) {
  const auto schedule =
      make("warmup_cosine", {{"num_warmup_steps", 4}, {"num_training_steps", 12}});
  expect_factors(*schedule,
                 {0, .25, .5, .75, 1, .96194, .853553, .691342, .5, .308658, .146447, .03806, 0, 0},
                 1e-5);
}

const Value::Array& golden_schedules() {
  static const Value file = [] {
    const std::string path = PERGOLA_GOLDEN_DIR "/schedulers.json";
    return from_json(read_file(path, ErrorKind::kData), path);
  }();
  return file.find("cases")->as_array();
}

class GoldenSchedule : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(All, GoldenSchedule,
                         testing::Range(std::size_t{0}, golden_schedules().size()),
                         [](const auto& number) {
                           return golden_schedules()[number.param].find("type")->as_string() + "_" +
                                  std::to_string(number.param);
                         });

TEST_P(GoldenSchedule, HasTheFactorsOfTheReference) {
  const Value& one = golden_schedules()[GetParam()];
  const auto schedule = make(one.find("type")->as_string(), one.find("params")->as_table());
  const Value::Array& factors = one.find("factors")->as_array();
  const Value* observed = one.find("observed");
  for (std::size_t i = 0; i < factors.size(); ++i) {
    EXPECT_NEAR(schedule->factor(static_cast<std::int64_t>(i)), factors[i].as_float(), 1e-12) << i;
    if (observed == nullptr || i == observed->as_array().size()) continue;
    const Value& criterion = observed->as_array()[i];
    schedule->observe(criterion.is_null() ? std::nan("") : criterion.as_float());
  }
}

TEST(SchedulersTest, EveryScheduleOfAnotherLibraryIsInTheReference) {
  std::set<std::string> types = {"pythia", "multi_step"};  // MMF's own
  for (const Value& one : golden_schedules()) {
    types.insert(one.find("type")->as_string());
  }
  const std::vector<std::string> keys = registry().keys(Kind::kScheduler);
  EXPECT_EQ(types, std::set<std::string>(keys.begin(), keys.end()));
}

TEST(SchedulersTest, AfterTheEndTheRateStays) {
  for (const char* type :
       {"warmup_linear", "warmup_cosine", "cosine_with_restarts", "polynomial", "one_cycle"}) {
    const auto schedule = make(type, {{"num_training_steps", 12}});
    EXPECT_NEAR(schedule->factor(12), schedule->factor(13), 1e-15) << type;
    EXPECT_NEAR(schedule->factor(12), schedule->factor(5000), 1e-15) << type;
  }
}

TEST(SchedulersTest, OneCycleOfFewUpdatesHasNoNan) {
  for (const std::int64_t steps : {1, 2, 3}) {
    for (const bool three_phase : {false, true}) {
      const auto schedule =
          make("one_cycle", {{"num_training_steps", steps}, {"three_phase", three_phase}});
      for (std::int64_t i = 0; i < steps; ++i) {
        EXPECT_GE(schedule->factor(i), 0) << steps;
        EXPECT_LE(schedule->factor(i), 1) << steps;
      }
    }
  }
}

TEST(SchedulersTest, WithoutWarmupItStartsAtOne) {
  for (const char* type : {"pythia", "multi_step", "warmup_linear", "warmup_cosine", "constant",
                           "polynomial", "cosine_with_restarts"}) {
    EXPECT_EQ(make(type, {})->factor(0), 1.0) << type;
  }
}

TEST(SchedulersTest, ByEpochAFactorHoldsForAllUpdatesOfAnEpoch) {
  // 10 updates are 4 epochs of 3: the last one is short.
  const RunLength length{.updates = 10, .updates_per_step = 3};
  const auto linear = make("warmup_linear", {}, length);
  expect_factors(*linear, {1, 1, 1, .75, .75, .75, .5, .5, .5, .25}, 1e-12);
  const auto step = make("step", {{"step_size", 2}, {"gamma", 0.5}}, length);
  expect_factors(*step, {1, 1, 1, 1, 1, 1, .5, .5, .5, .5}, 1e-12);
}

TEST(SchedulersTest, ByEpochAPlateauIsStillCountedInValidations) {
  const auto schedule =
      make("reduce_on_plateau", {{"patience", 1}}, {.updates = 10, .updates_per_step = 3});
  for (int i = 0; i < 3; ++i) schedule->observe(1);
  EXPECT_DOUBLE_EQ(schedule->factor(4), 0.1);
}

TEST(SchedulersTest, TheRunsLengthIsTheEndWhereNoneIsGiven) {
  for (const std::string& type : registry().keys(Kind::kScheduler)) {
    bool ends = false;
    for (const ParamSpec& param : registry().spec(Kind::kScheduler, type)->params) {
      ends = ends || param.name == "num_training_steps";
    }
    if (!ends) continue;
    const auto by_run = make(type, {}, {.updates = 12});
    const auto by_config = make(type, {{"num_training_steps", 12}});
    for (std::int64_t i = 0; i < 14; ++i) EXPECT_EQ(by_run->factor(i), by_config->factor(i));
  }
}

// Params that do something, and all that are required.
Value::Table params_of(const std::string& type) {
  const std::map<std::string, Value::Table> params = {
      {"step", {{"step_size", 3}}},
      {"exponential", {{"gamma", 0.9}}},
      {"reduce_on_plateau", {{"patience", 1}, {"factor", 0.7}, {"cooldown", 1}}}};
  const auto found = params.find(type);
  return found == params.end() ? Value::Table{} : found->second;
}

class ScheduleContinues : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, ScheduleContinues,
                         testing::ValuesIn(registry().keys(Kind::kScheduler)),
                         [](const auto& key) { return key.param; });

// Through JSON, as in a checkpoint.
TEST_P(ScheduleContinues, BitForBitFromItsState) {
  const Value::Table params = params_of(GetParam());
  const auto criterion = [](std::int64_t i) { return i == 3 ? std::nan("") : 1 / (1.0 + i / 4); };
  for (std::int64_t stop = 0; stop < 12; ++stop) {
    const auto straight = make(GetParam(), params, {.updates = 12});
    const auto first = make(GetParam(), params, {.updates = 12});
    for (std::int64_t i = 0; i < stop; ++i) {
      straight->observe(criterion(i));
      first->observe(criterion(i));
    }
    const auto second = make(GetParam(), params, {.updates = 12});
    second->load_state_dict(from_json(to_json(first->state_dict()), "state.json"));
    for (std::int64_t i = stop; i < 12; ++i) {
      EXPECT_EQ(second->factor(i), straight->factor(i)) << i << " from " << stop;
      straight->observe(criterion(i));
      second->observe(criterion(i));
    }
    EXPECT_EQ(second->state_dict(), straight->state_dict());
  }
}

TEST_P(ScheduleContinues, SaysItsParamsWithTheirMeaning) {
  const ComponentSpec spec = *registry().spec(Kind::kScheduler, GetParam());
  EXPECT_NE(spec.summary, "");
  for (const ParamSpec& param : spec.params) EXPECT_NE(param.meaning, "") << param.name;
}

TEST_P(ScheduleContinues, RefusesUnknownParamsAndNumbersOutOfBounds) {
  for (const ParamSpec& param : registry().spec(Kind::kScheduler, GetParam())->params) {
    EXPECT_EQ(error_of_scheduler(GetParam(), {{param.name + "e", 1}}),
              "scheduler.params." + param.name + "e is not a known key; did you mean '" +
                  param.name + "'?");
    if (std::isinf(param.low)) continue;
    Value::Table params = params_of(GetParam());
    const bool is_array = param.fallback.is_array();
    params[param.name] = is_array ? Value(Value::Array{-1}) : Value(-1);
    EXPECT_THAT(
        error_of_scheduler(GetParam(), params),
        HasSubstr(param.name + (is_array ? "[0]" : "") + " = -1 is out of range; expected"));
  }
}

TEST(SchedulersTest, BadParametersAreRefused) {
  EXPECT_THAT(error_of_scheduler("pythia", {{"lr_steps", Value::Array{8, 6}}}),
              HasSubstr("is not in ascending order"));
  EXPECT_THAT(error_of_scheduler("pythia", {{"lr_ratio", 2}, {"lr_steps", Value::Array{1}}}),
              HasSubstr("lr_ratio = 2 is out of range; expected 0 to 1"));
  EXPECT_THAT(error_of_scheduler("pythia", {{"warmup_iterations", 0}, {"use_warmup", true}}),
              HasSubstr("warmup_iterations = 0 is out of range; expected at least 1"));
  EXPECT_THAT(error_of_scheduler("multi_step", {{"use_warmup", true},
                                                {"warmup_iterations", 6},
                                                {"lr_steps", Value::Array{6, 8}}}),
              HasSubstr("is not below the first of lr_steps; the warm-up must end first"));
  EXPECT_THAT(error_of_scheduler("step", {}), HasSubstr("scheduler.params.step_size is missing"));
  EXPECT_THAT(error_of_scheduler("exponential", {}),
              HasSubstr("scheduler.params.gamma is missing"));
  EXPECT_THAT(error_of_scheduler("one_cycle", {{"anneal_strategy", "cosine"}}),
              HasSubstr("anneal_strategy = \"cosine\" is not one of cos, linear"));
  EXPECT_THAT(error_of_scheduler("reduce_on_plateau", {{"factor", 1}}),
              HasSubstr("factor = 1 must be below 1: it is to reduce the rate"));
  EXPECT_THAT(error_of_scheduler("reduce_on_plateau", {{"mode", "mim"}}),
              HasSubstr("did you mean 'min'?"));
}

TEST(SchedulersTest, NumbersWithoutEffectHaveNoBounds) {
  const auto schedule =
      make("pythia", {{"lr_ratio", 2}, {"warmup_iterations", 0}, {"warmup_factor", 3}});
  EXPECT_EQ(schedule->factor(0), 1.0);
  EXPECT_EQ(schedule->factor(5000), 1.0);
}

TEST(SchedulersTest, APlateauTakesNoStateForOneOfAnotherSchedule) {
  const auto schedule = make("reduce_on_plateau", {});
  schedule->load_state_dict(Value(Value::Table{}));  // of one that has none: it begins anew
  EXPECT_EQ(schedule->factor(0), 1.0);
  try {
    schedule->load_state_dict(Value::Table{{"gamma", 1}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
    EXPECT_THAT(error.what(), HasSubstr("the saved state of the scheduler has no best; the "
                                        "checkpoint is of another scheduler"));
  }
}

}  // namespace
}  // namespace pergola::host
