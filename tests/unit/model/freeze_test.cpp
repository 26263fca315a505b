// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/freeze.h"

#include "host/model/builder.h"
#include "host/model/builtins.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// image_encoder: a linear layer and a batch norm; text: the same linear layer under another name;
// classifier: 3 * 2 + 2 elements.
class ModelToFreeze final : public BaseModel {
 public:
  ModelToFreeze() : BaseModel(Config(Value(Value::Table{}), "model_config.model")) {}
  void build() override {
    const auto encoder = std::make_shared<torch::nn::Module>();
    linear_ = encoder->register_module("linear", torch::nn::Linear(3, 3));
    norm_ = encoder->register_module("norm", torch::nn::BatchNorm1d(3));
    register_module("image_encoder", encoder);
    register_module("text", linear_);
    classifier_ = register_module("classifier", torch::nn::Linear(3, 2));
  }
  ModelOutput forward(const SampleList& batch) override {
    return {.scores = classifier_(norm_(linear_(batch.tensor("x"))))};
  }
  // All parameters, frozen or not.
  std::vector<ParameterGroup> optimizer_parameters(const Config& /*config*/) const override {
    ParameterGroup group;
    for (const auto& item : named_parameters()) {
      if (item.key().rfind("text", 0) == 0) continue;  // the linear layer's second name
      group.names.push_back(item.key());
      group.parameters.push_back(item.value());
    }
    return {group};
  }

 private:
  torch::nn::Linear linear_{nullptr};
  torch::nn::BatchNorm1d norm_{nullptr};
  torch::nn::Linear classifier_{nullptr};
};

class FreezeTest : public ::testing::Test {
 protected:
  FreezeTest() { model_.build(); }

  void freeze(Value::Array patterns) {
    freeze_parameters(model_, Config(Value::Table{{"freeze", std::move(patterns)}}, "training"));
  }
  [[nodiscard]] std::string error_of(Value::Array patterns) {
    try {
      freeze(std::move(patterns));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return error.what();
    }
    return "(no error)";
  }
  [[nodiscard]] std::vector<std::string> trained() const {
    std::vector<std::string> names;
    for (const auto& item : model_.named_parameters()) {
      if (item.value().requires_grad()) names.push_back(item.key());
    }
    return names;
  }

  ModelToFreeze model_;
};

// The same model, with parts of it frozen at first.
class FreezeScheduleTest : public FreezeTest {
 protected:
  static UnfreezeConfig entry(std::vector<std::string> parameters, double after,
                              Duration::Unit unit = Duration::Unit::kUpdates,
                              const std::string& where = "training.unfreeze[0]") {
    return {std::move(parameters), Duration{after, unit}, where};
  }
  [[nodiscard]] FreezeSchedule schedule(const std::vector<UnfreezeConfig>& config) const {
    return {model_, config, /*updates_per_epoch=*/30};
  }
  [[nodiscard]] std::string error_of_schedule(const std::vector<UnfreezeConfig>& config) const {
    return ::pergola::test::error_of([&] { static_cast<void>(schedule(config)); });
  }
  // What is trained when so many updates are done.
  [[nodiscard]] std::vector<std::string> trained_after(FreezeSchedule& schedule,
                                                       std::int64_t updates) const {
    schedule.apply(updates);
    return trained();
  }
};

constexpr auto kEpochs = Duration::Unit::kEpochs;

TEST(GlobTest, StarIsAnyTextAndQuestionMarkOneCharacter) {
  for (const char* pattern : {"a.b.weight", "*", "a.*", "*weight", "a*t", "a.?.weight", "*b*", "**",
                              "a.b.weight*", "?*?"}) {
    EXPECT_TRUE(matches(pattern, "a.b.weight")) << pattern;
  }
  for (const char* pattern :
       {"", "a", "a.b", "b.*", "*bias", "a.?weight", "a.b.weight?", "A.*", "a.b.weigh", "*b"}) {
    EXPECT_FALSE(matches(pattern, "a.b.weight")) << pattern;
  }
  EXPECT_TRUE(matches("*", ""));
  EXPECT_FALSE(matches("?", ""));
  EXPECT_TRUE(matches("*.0.*.weight", "layers.0.0.attention.weight"));
  // Quadratic at most, where every `*` could take anything.
  EXPECT_FALSE(matches("*a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(5000, 'a')));
}

TEST_F(FreezeTest, NoPatternFreezesNothing) {
  freeze({});
  EXPECT_EQ(trained().size(), 8U);
}

TEST_F(FreezeTest, ParametersOfMatchingNamesAreNotTrained) {
  freeze({"image_encoder.*"});
  EXPECT_THAT(trained(), ElementsAre("classifier.weight", "classifier.bias"));
}

TEST_F(FreezeTest, AnyNameOfASharedParameterCounts) {
  freeze({"text.weight"});
  EXPECT_THAT(trained(), ElementsAre("image_encoder.linear.bias", "image_encoder.norm.weight",
                                     "image_encoder.norm.bias", "text.bias", "classifier.weight",
                                     "classifier.bias"));
}

TEST_F(FreezeTest, TheLogSaysHowManyAreFrozenAndHowManyAreLeft) {
  ::testing::internal::CaptureStderr();
  freeze({"image_encoder.*", "text.*"});
  // 3 * 3 + 3 of the linear layer, which has two names, and 3 + 3 of the norm.
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("[model] frozen by training.freeze: 4 tensors with 18 elements; 8 elements "
                        "are trained"));
}

TEST_F(FreezeTest, APatternThatMatchesNothingNamesTheClosest) {
  EXPECT_EQ(error_of({"classifier.*", "image_encodr.*"}),
            "training.freeze[1] = \"image_encodr.*\" matches no parameter of the model; did you "
            "mean 'image_encoder.*'?");
  EXPECT_THAT(error_of({"image_encoder.nrm.*"}), HasSubstr("did you mean 'image_encoder.norm.*'?"));
  EXPECT_THAT(error_of({"classifier.weights"}), HasSubstr("did you mean 'classifier.weight'?"));
  EXPECT_THAT(error_of({"*.lstm.*"}), HasSubstr("; the model has classifier, image_encoder, text"));
  EXPECT_THAT(error_of({"image_encoder"}), HasSubstr("did you mean 'image_encoder.*'?"));
}

TEST_F(FreezeTest, SomethingIsLeftToTrain) {
  EXPECT_EQ(error_of({"image_encoder.*", "classifier.*"}),
            "training.freeze = [\"image_encoder.*\", \"classifier.*\"] leaves no parameter to "
            "train; freeze less");
}

TEST_F(FreezeTest, GroupsOfTheModelLoseWhatIsFrozen) {
  freeze({"image_encoder.*"});
  Registry registry;
  registry.publish(builtin_model_parts(), "host");
  const auto optimizer =
      build_optimizer(registry, model_, Config(Value::Table{{"type", "adamw"}}, "optimizer"));
  EXPECT_THAT(optimizer->groups()[0].names, ElementsAre("classifier.weight", "classifier.bias"));
}

TEST_F(FreezeTest, FrozenParametersStayAndBuffersMove) {
  freeze({"image_encoder.*"});
  Registry registry;
  registry.publish(builtin_model_parts(), "host");
  const auto optimizer =
      build_optimizer(registry, model_, Config(Value::Table{{"type", "adamw"}}, "optimizer"));
  const StateDict before = state_dict(model_);
  std::map<std::string, at::Tensor> copies;
  for (const auto& [key, tensor] : before) copies[key] = tensor.clone();
  SampleList batch;
  batch.add_field("x", torch::randn({4, 3}));
  model_(batch).scores.sum().backward();
  optimizer->step();
  for (const auto& [key, tensor] : state_dict(model_)) {
    const bool frozen = key.rfind("classifier", 0) != 0 && key.find("running") == key.npos &&
                        key.find("num_batches") == key.npos;
    EXPECT_EQ(tensor.equal(copies.at(key)), frozen) << key;
  }
}

TEST_F(FreezeScheduleTest, ParametersAreFrozenUntilTheirUpdate) {
  FreezeSchedule thaws = schedule({entry({"image_encoder.*"}, 2)});
  EXPECT_EQ(trained().size(), 8U);  // an optimizer that is built now takes all
  EXPECT_THAT(trained_after(thaws, 0), ElementsAre("classifier.weight", "classifier.bias"));
  EXPECT_THAT(trained_after(thaws, 1), ElementsAre("classifier.weight", "classifier.bias"));
  EXPECT_EQ(trained_after(thaws, 2).size(), 8U);
  EXPECT_EQ(trained_after(thaws, 50).size(), 8U);
}

// 0.5 * 30 = 15; 0.11 * 30 = 3.3, so 4; a tenth of 30 is 3.
TEST_F(FreezeScheduleTest, EpochsAreUpdatesWithFractionsRoundedUp) {
  for (const auto& [epochs, updates] :
       {std::pair(0.5, 15), std::pair(0.11, 4), std::pair(0.1, 3)}) {
    FreezeSchedule thaws = schedule({entry({"image_encoder.*"}, epochs, kEpochs)});
    EXPECT_EQ(trained_after(thaws, updates - 1).size(), 2U) << epochs;
    EXPECT_EQ(trained_after(thaws, updates).size(), 8U) << epochs;
  }
}

// Layer by layer: the norm after 1 epoch, all of the encoder after 2, whichever is named first.
TEST_F(FreezeScheduleTest, AParameterOfSeveralEntriesIsFrozenUntilTheLast) {
  for (const bool reversed : {false, true}) {
    std::vector<UnfreezeConfig> config = {entry({"image_encoder.linear.*"}, 2, kEpochs),
                                          entry({"image_encoder.*"}, 1, kEpochs)};
    if (reversed) std::swap(config[0], config[1]);
    FreezeSchedule thaws = schedule(config);
    EXPECT_EQ(trained_after(thaws, 29).size(), 2U);
    EXPECT_THAT(trained_after(thaws, 30),
                ElementsAre("image_encoder.norm.weight", "image_encoder.norm.bias",
                            "classifier.weight", "classifier.bias"));
    EXPECT_EQ(trained_after(thaws, 60).size(), 8U);
  }
}

TEST_F(FreezeScheduleTest, WhatFreezeNamesStaysFrozen) {
  freeze({"image_encoder.norm.*"});
  FreezeSchedule thaws = schedule({entry({"image_encoder.*"}, 2)});
  EXPECT_THAT(trained_after(thaws, 2),
              ElementsAre("image_encoder.linear.weight", "image_encoder.linear.bias", "text.weight",
                          "text.bias", "classifier.weight", "classifier.bias"));
  EXPECT_EQ(error_of_schedule({entry({"image_encoder.norm.*"}, 2)}),
            "training.unfreeze[0]: all parameters that it names are frozen for the whole run by "
            "training.freeze; take them out of one of the two");
}

TEST_F(FreezeScheduleTest, APatternThatMatchesNothingNamesTheClosest) {
  EXPECT_EQ(error_of_schedule({entry({"classifier.*", "image_encodr.*"}, 2)}),
            "training.unfreeze[0]: parameters[1] = \"image_encodr.*\" matches no parameter of the "
            "model; did you mean 'image_encoder.*'?");
}

TEST_F(FreezeScheduleTest, SomethingIsTrainedAtFirst) {
  EXPECT_EQ(error_of_schedule(
                {entry({"image_encoder.*"}, 7),
                 entry({"classifier.*"}, 5, Duration::Unit::kUpdates, "training.unfreeze[1]")}),
            "training.unfreeze[1]: with the other entries of training.unfreeze and training.freeze "
            "it leaves no parameter to train in the first 5 updates; freeze less");
  FreezeSchedule from_the_start = schedule({entry({"*"}, 0)});
  EXPECT_EQ(trained_after(from_the_start, 0).size(), 8U);
}

TEST_F(FreezeScheduleTest, ATimeIsRefused) {
  EXPECT_EQ(error_of_schedule({entry({"classifier.*"}, 60, Duration::Unit::kSeconds)}),
            "training.unfreeze[0]: `after` is a time; expected updates or epochs, such as after = "
            "\"2 epochs\"");
}

// The optimizer has them from the start, and passes over them until they have gradients.
TEST_F(FreezeScheduleTest, TheOptimizerTrainsThemOnceTheyThaw) {
  Registry registry;
  registry.publish(builtin_model_parts(), "host");
  const auto optimizer =
      build_optimizer(registry, model_, Config(Value::Table{{"type", "adamw"}}, "optimizer"));
  FreezeSchedule thaws = schedule({entry({"image_encoder.*"}, 1)});
  SampleList batch;
  batch.add_field("x", torch::randn({4, 3}));
  const at::Tensor weight = model_.named_parameters()["image_encoder.linear.weight"];
  const at::Tensor before = weight.detach().clone();
  for (std::int64_t update = 0; update < 2; ++update) {
    thaws.apply(update);
    optimizer->zero_grad();
    model_(batch).scores.square().sum().backward();
    optimizer->step();
    EXPECT_EQ(weight.equal(before), update == 0);
    EXPECT_EQ(optimizer->state_dict().contains("image_encoder.linear.weight/exp_avg"), update == 1);
  }
}

}  // namespace
}  // namespace pergola::host
