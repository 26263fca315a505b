// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/builder.h"

#include "host/model/builtins.h"
#include "pergola/plugin.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace pergola::host {
namespace {

using testing::HasSubstr;

// Fails where its config says, and remembers what it was given.
class FailingModel final : public BaseModel {
 public:
  explicit FailingModel(const Config& config) : BaseModel(config) {
    if (config.get<std::string>("fail", "") == "constructor")
      throw std::runtime_error("no luck\nstack");
  }
  void build() override {
    if (config().get<std::string>("fail", "") == "build") throw 42;
    a_ = register_parameter("a", torch::zeros({3}));
    b_ = register_parameter("b", torch::zeros({3}));
  }
  ModelOutput forward(const SampleList& /*batch*/) override { return {a_ + b_}; }
  std::vector<ParameterGroup> optimizer_parameters(const Config& /*config*/) const override {
    const std::string groups = config().get<std::string>("groups", "all");
    if (groups == "one") return {{{"a"}, {a_}, Value(Value::Table{})}};
    if (groups == "twice") return {{{"a", "b", "a"}, {a_, b_, a_}, Value(Value::Table{})}};
    if (groups == "unnamed") return {{{"a"}, {a_, b_}, Value(Value::Table{})}};
    if (groups == "swapped") return {{{"b", "a"}, {a_, b_}, Value(Value::Table{})}};
    if (groups == "misnamed") return {{{"a", "c"}, {a_, b_}, Value(Value::Table{})}};
    if (groups == "throwing") throw std::runtime_error("no groups");
    return {{{"a", "b"}, {a_, b_}, Value(Value::Table{})}};
  }

 private:
  at::Tensor a_;
  at::Tensor b_;
};

class BuilderTest : public testing::Test {
 protected:
  BuilderTest() {
    registry_.publish(builtin_model_parts(), "host");
    registry_.publish({detail::model_node<FailingModel>("model")}, "model.so");
  }
  std::shared_ptr<BaseModel> build(Value::Table config,
                                   const Value& facts = Value(Value::Table{})) {
    return build_model(registry_, "model", Config(std::move(config), "model_config.model"), facts);
  }
  // The error of an optimizer for a model with such groups.
  std::string error_of_groups(const std::string& groups) {
    const auto model = build({{"groups", groups}});
    const Config config(Value::Table{{"type", "adam"}}, "optimizer");
    return error_of(ErrorKind::kPlugin,
                    [&] { static_cast<void>(build_optimizer(registry_, *model, config)); });
  }
  template <class Call>
  static std::string error_of(ErrorKind kind, Call call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind);
      return error.what();
    }
    return "(no error)";
  }

  Registry registry_;
};

TEST_F(BuilderTest, FactsFillZerosAndNothingElse) {
  const Value facts =
      Value::Table{{"text_vocab_size", 28}, {"num_final_outputs", 14}, {"unasked", 1}};
  const auto model = build({{"text_vocab_size", 0}, {"num_final_outputs", 15}}, facts);
  EXPECT_EQ(model->config().get<std::int64_t>("text_vocab_size"), 28);
  EXPECT_EQ(model->config().get<std::int64_t>("num_final_outputs"), 15);
  EXPECT_FALSE(model->config().has("unasked"));
}

TEST_F(BuilderTest, SizesBelowTheDataSetsAreRefusedWithBothNumbersAndTheirPlace) {
  const Value facts = Value::Table{{"text_vocab_size", 28}, {"num_final_outputs", 14}};
  Value five(5);
  five.set_origin("run.toml:3:1");
  EXPECT_EQ(error_of(ErrorKind::kConfig,
                     [&] {
                       build({{"num_final_outputs", five}}, facts);
                     }),
            "model_config.model.num_final_outputs = 5 (run.toml:3:1) is less than the 14 of the "
            "data set; set it to 0, which takes over the data set's number, or to at least that");
  EXPECT_THAT(error_of(ErrorKind::kConfig,
                       [&] {
                         build({{"text_vocab_size", 27}}, facts);
                       }),
              HasSubstr("text_vocab_size = 27 is less than the 28 of the data set"));
  EXPECT_NE(build({{"text_vocab_size", 28}, {"num_final_outputs", 14}}, facts), nullptr);
}

TEST_F(BuilderTest, WhateverAPluginThrowsNamesModelAndHook) {
  EXPECT_EQ(
      error_of(ErrorKind::kPlugin,
               [&] {
                 build({{"fail", "constructor"}});
               }),
      "the constructor of model 'model' failed: no luck; this is a matter for the plugin's author");
  EXPECT_THAT(
      error_of(ErrorKind::kPlugin,
               [&] {
                 build({{"fail", "build"}});
               }),
      HasSubstr("build() of model 'model' failed with an exception that is no std::exception"));
}

TEST_F(BuilderTest, UnknownLossIsAConfigError) {
  EXPECT_THAT(error_of(ErrorKind::kConfig,
                       [&] {
                         build({{"losses", Value::Array{"logit_bec"}}});
                       }),
              HasSubstr("loss 'logit_bec' is not registered; did you mean 'logit_bce'?"));
}

TEST_F(BuilderTest, UnknownOptionOfALossIsAConfigError) {
  const Value loss = Value::Table{{"type", "cross_entropy"}, {"parms", Value::Table{}}};
  EXPECT_EQ(error_of(ErrorKind::kConfig,
                     [&] {
                       build({{"losses", Value::Array{"logit_bce", loss}}});
                     }),
            "model_config.model.losses[1].parms is not a known key; did you mean 'params'?");
}

TEST_F(BuilderTest, NoParameterIsSilentlyLeftOut) {
  const auto model = build({{"groups", "one"}});
  const Config config(Value::Table{{"type", "adam"}});
  EXPECT_THAT(
      error_of(ErrorKind::kPlugin,
               [&] { static_cast<void>(build_optimizer(registry_, *model, config)); }),
      HasSubstr(
          "optimizer_parameters() of model 'model' leaves out b; they would never be trained"));
  const Config allowed(Value::Table{{"type", "adam"}, {"allow_unused_parameters", true}});
  EXPECT_NE(build_optimizer(registry_, *model, allowed), nullptr);
}

TEST_F(BuilderTest, NoParameterIsInTwoGroups) {
  EXPECT_EQ(error_of_groups("twice"),
            "parameter a is in optimizer_parameters() of model 'model' twice; a parameter belongs "
            "to one group");
}

TEST_F(BuilderTest, EveryParameterOfAGroupHasAName) {
  EXPECT_EQ(error_of_groups("unnamed"),
            "optimizer_parameters() of model 'model' gives a group with 1 names for 2 parameters; "
            "expected one for each");
}

TEST_F(BuilderTest, ParametersOfAGroupHaveTheNamesOfTheModel) {
  EXPECT_EQ(error_of_groups("swapped"),
            "optimizer_parameters() of model 'model' gives a parameter the name 'b', which is that "
            "of another one; expected names as named_parameters() has them");
  EXPECT_THAT(error_of_groups("misnamed"),
              HasSubstr("the name 'c', which the model does not have; did you mean 'a'?"));
}

TEST_F(BuilderTest, WhatOptimizerParametersThrowsNamesTheHook) {
  EXPECT_THAT(error_of_groups("throwing"),
              HasSubstr("optimizer_parameters() of model 'model' failed: no groups"));
}

TEST_F(BuilderTest, WarmupSchedulesEndWithTheRunByDefault) {
  EXPECT_EQ(build_scheduler(registry_, "warmup_linear", Config(), {10})->factor(5), 0.5);
  const Config own(Value::Table{{"num_training_steps", 20}});
  EXPECT_EQ(build_scheduler(registry_, "warmup_linear", own, {10})->factor(5), 0.75);
}

TEST_F(BuilderTest, EveryBuiltinKeyMakesAnObject) {
  for (const char* key : {"cross_entropy", "logit_bce"}) {
    EXPECT_NE(registry_.make_loss({key, {}, {}, ""}), nullptr);
  }
  for (const char* key : {"accuracy", "vqa_accuracy"}) {
    EXPECT_NE(registry_.make_metric({key, {}, {}, ""}), nullptr);
  }
}

}  // namespace
}  // namespace pergola::host
