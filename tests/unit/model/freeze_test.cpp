// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/freeze.h"

#include "host/model/builder.h"
#include "host/model/builtins.h"
#include "pergola/error.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// image_encoder: a linear layer and a batch norm; text: the same linear layer under another name;
// classifier: 3 * 2 + 2 elements.
class Model final : public BaseModel {
 public:
  Model() : BaseModel(Config(Value(Value::Table{}), "model_config.model")) {}
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

class FreezeTest : public testing::Test {
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

  Model model_;
};

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
  testing::internal::CaptureStderr();
  freeze({"image_encoder.*", "text.*"});
  // 3 * 3 + 3 of the linear layer, which has two names, and 3 + 3 of the norm.
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
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

}  // namespace
}  // namespace pergola::host
