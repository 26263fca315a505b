// SPDX-License-Identifier: BSD-3-Clause
// What optimizers take and refuse, from the config and from a model's groups.
#include "host/model/builder.h"
#include "pergola/error.h"
#include "unit/model/optimizers/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

namespace pergola::host {
namespace {

using testing::HasSubstr;

// The error of an optimizer with such params, which have an lr where it takes one by default.
std::string error_of_options(const std::string& type, Value::Table params,
                             Value group_options = Value(Value::Table{}),
                             ErrorKind kind = ErrorKind::kConfig) {
  if (type != "adafactor") params.emplace("lr", 0.1);
  try {
    make_optimizer(type, std::move(params), Problem().group(std::move(group_options)));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "(no error)";
}

class OptimizerOptions : public testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] static std::vector<ParamSpec> params() {
    return builtin_parts().spec(Kind::kOptimizer, GetParam())->params;
  }
};
INSTANTIATE_TEST_SUITE_P(All, OptimizerOptions,
                         testing::ValuesIn(builtin_parts().keys(Kind::kOptimizer)),
                         [](const auto& key) { return key.param; });

TEST_P(OptimizerOptions, UnknownOnesAreRefusedWithTheClosest) {
  EXPECT_EQ(error_of_options(GetParam(), {{"weight_decai", 0.1}}),
            "optimizer.params.weight_decai is not a known key; did you mean 'weight_decay'?");
  EXPECT_EQ(
      error_of_options(GetParam(), {}, Value::Table{{"weight_decai", 0.1}}, ErrorKind::kPlugin),
      "the model's optimizer_parameters() gives a group the option weight_decai = 0.1, which "
      "the optimizer does not have; did you mean 'weight_decay'?");
}

TEST_P(OptimizerOptions, WrongTypesAreRefusedAtOnce) {
  for (const ParamSpec& param : params()) {
    EXPECT_THAT(error_of_options(GetParam(), {{param.name, "x"}}),
                HasSubstr("optimizer.params." + param.name + " = \"x\" is a string; expected"));
  }
}

TEST_P(OptimizerOptions, NumbersOutOfBoundsAreRefusedWhereverTheyStand) {
  for (const ParamSpec& param : params()) {
    if (std::isinf(param.low)) continue;
    EXPECT_EQ(param.low, 0) << "or change this test";
    EXPECT_THAT(error_of_options(GetParam(), {{param.name, -0.1}}),
                HasSubstr("optimizer.params." + param.name + " = -0.1 is out of range; expected"));
    EXPECT_THAT(
        error_of_options(GetParam(), {}, Value::Table{{param.name, -0.1}}),
        HasSubstr(param.name + " = -0.1 (the model's optimizer_parameters()) is out of range"));
  }
}

TEST_P(OptimizerOptions, NumbersAreFinite) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const ParamSpec& param : params()) {
    const bool is_number =
        param.fallback.type() == Value::Type::kFloat || param.type == Value::Type::kFloat;
    if (!is_number) continue;
    EXPECT_THAT(error_of_options(GetParam(), {{param.name, kInfinity}}),
                HasSubstr("optimizer.params." + param.name + " = inf is not a finite number"));
  }
}

// The operators throw for a number that is none of float32; to be told so by one of them would be
// to blame the plugin.
TEST_P(OptimizerOptions, NumbersThatAreTakenAreOnesToStepWith) {
  std::vector<Value::Table> all = {{}};  // the last one: all options at the highest
  for (const ParamSpec& param : params()) {
    const bool is_pair = param.name == "eps" && param.fallback.is_array();
    if (!is_pair && param.fallback.type() != Value::Type::kFloat &&
        param.type != Value::Type::kFloat) {
      continue;
    }
    const auto value = [&](double number) {
      return is_pair ? Value(Value::Array{number, number}) : Value(number);
    };
    for (const double number : {1e-300, 1e15, 1e16, 1e39, 1e300, -1e300}) {
      all.insert(all.begin(), Value::Table{{param.name, value(number)}});
    }
    if (param.high >= 1e15) all.back()[param.name] = value(1e15);
  }
  for (Value::Table& given : all) {
    if (GetParam() != "adafactor") given.emplace("lr", 0.1);
    if (given.contains("lr") && GetParam() == "adafactor") given["relative_step"] = false;
    SCOPED_TRACE(to_string(given));
    Problem problem;
    std::unique_ptr<Optimizer> optimizer;
    try {
      optimizer = make_optimizer(GetParam(), given, problem.group());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      continue;
    }
    EXPECT_NO_THROW(problem.run(*optimizer, 0, 3));
  }
}

TEST_P(OptimizerOptions, AreSaidWithTheirMeaning) {
  const ComponentSpec spec = *builtin_parts().spec(Kind::kOptimizer, GetParam());
  EXPECT_NE(spec.summary, "");
  for (const ParamSpec& param : spec.params) EXPECT_NE(param.meaning, "") << param.name;
}

TEST(OptimizersTest, SgdHasNoRateOfItsOwn) {
  try {
    make_optimizer("sgd", {}, Problem().group());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("optimizer.params.lr is missing"));
  }
}

TEST(OptimizersTest, NesterovNeedsMomentumAlone) {
  EXPECT_THAT(error_of_options("sgd", {{"nesterov", true}}),
              HasSubstr("nesterov = true needs momentum above 0 and dampening = 0"));
  EXPECT_THAT(error_of_options("sgd", {{"nesterov", true}, {"momentum", 0.9}, {"dampening", 0.1}}),
              HasSubstr("needs momentum above 0 and dampening = 0"));
}

TEST(OptimizersTest, BetasAreAPairBelowOne) {
  for (const char* type : {"adam", "adamw", "adamax", "nadam", "lamb", "adam_w"}) {
    for (const Value::Array& betas : {Value::Array{0.9}, Value::Array{0.9, 1.0},
                                      Value::Array{-0.1, 0.9}, Value::Array{0.9, 0.9, 0.9}}) {
      EXPECT_THAT(error_of_options(type, {{"betas", betas}}),
                  HasSubstr("is not a pair of numbers from 0 to below 1, such as [0.9, 0.999]"));
    }
  }
}

TEST(OptimizersTest, AdafactorFindsItsRateOrIsGivenIt) {
  EXPECT_THAT(error_of_options("adafactor", {{"lr", 0.1}}),
              HasSubstr("lr = 0.1 has no place beside relative_step, which finds the rate itself; "
                        "set relative_step = false, or leave lr out"));
  EXPECT_THAT(error_of_options("adafactor", {{"relative_step", false}}),
              HasSubstr("relative_step = false needs lr; set it, such as lr = 0.001"));
  EXPECT_THAT(
      error_of_options("adafactor", {{"relative_step", false}, {"lr", 1}, {"warmup_init", true}}),
      HasSubstr("warmup_init = true needs relative_step = true"));
  EXPECT_THAT(error_of_options("adafactor", {{"eps", Value::Array{1e-30}}}),
              HasSubstr("is not a pair of numbers >= 0, such as [1e-30, 1e-3]"));
  EXPECT_THAT(error_of_options("adafactor", {{"clip_threshold", 0}}), HasSubstr("must be above 0"));
  EXPECT_THAT(error_of_options("adafactor", {{"beta1", 1}}), HasSubstr("must be below 1"));
}

TEST(OptimizersTest, AGroupsOptionsWinOverTheRest) {
  const auto optimizer =
      make_optimizer("sgd", {{"lr", 1.0}}, Problem().two_groups(Value::Table{{"lr", 0.25}}));
  optimizer->set_lr_factor(0.5);
  EXPECT_EQ(optimizer->lr(0), 0.125);
  EXPECT_EQ(optimizer->lr(1), 0.5);
}

}  // namespace
}  // namespace pergola::host
