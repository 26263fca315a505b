// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/registry.h"

#include "pergola/plugin.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Lamp final : public BaseModel {
 public:
  using BaseModel::BaseModel;
  void build() override {}
  ModelOutput forward(const SampleList& batch) override { return {batch.tensor("x")}; }
};

class ConstantLoss final : public Loss {
 public:
  explicit ConstantLoss(const Config& params) : value_(params.get<double>("value", 1.0)) {}
  LossMap compute(const SampleList& /*batch*/, const ModelOutput& /*output*/) override {
    return {{"", torch::tensor(value_)}};
  }

 private:
  double value_;
};

PERGOLA_REGISTER_MODEL(Lamp, "lamp");
PERGOLA_REGISTER_LOSS(ConstantLoss, "constant");

// What the macros above announced while this program started; taken once.
const std::vector<Announcement>& announced() {
  static const std::vector<Announcement> nodes = [] {
    std::vector<Announcement> all;
    for (const Announcement* node = take_announcements(); node != nullptr; node = node->next) {
      all.push_back(*node);
    }
    return all;
  }();
  return nodes;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(RegistryTest, MacrosAnnounceAndPublishMakesObjects) {
  EXPECT_EQ(announced().size(), 2U);
  EXPECT_EQ(take_announcements(), nullptr);
  Registry registry;
  registry.publish(announced(), "lamp.so");
  EXPECT_THAT(registry.keys(Kind::kModel), ElementsAre("lamp"));
  EXPECT_EQ(registry.library(Kind::kModel, "lamp"), "lamp.so");
  EXPECT_NE(std::dynamic_pointer_cast<Lamp>(registry.make_model("lamp", Config())), nullptr);
}

// A loss that says what its params are.
class DescribedLoss final : public Loss {
 public:
  static ComponentSpec spec() {
    return {"a constant", {{.name = "value", .fallback = 2.0, .meaning = "the constant"}}};
  }
  explicit DescribedLoss(const Config& params) : value_(params.get<double>("value")) {}
  LossMap compute(const SampleList& /*batch*/, const ModelOutput& /*output*/) override {
    return {{"", torch::tensor(value_)}};
  }

 private:
  double value_;
};

// A loss of losses.
class NestedLoss final : public Loss {
 public:
  NestedLoss(const Config& params, const Registry& registry)
      : inner_(registry.make_loss(params.typed("inner"))) {}
  LossMap compute(const SampleList& batch, const ModelOutput& output) override {
    return inner_->compute(batch, output);
  }

 private:
  std::shared_ptr<Loss> inner_;
};

double value_of(const Registry& registry, const std::string& type, Value::Table params) {
  const TypedConfig config{type, Config(std::move(params), "losses[0].params"), {}, "losses[0]"};
  return registry.make_loss(config)->compute({}, {}).at("").item<double>();
}

TEST(RegistryTest, ParamsAreCompletedByTheClassesSpec) {
  Registry registry;
  registry.publish({detail::loss_node<DescribedLoss>("described")}, "host");
  EXPECT_EQ(value_of(registry, "described", {}), 2);
  EXPECT_EQ(value_of(registry, "described", {{"value", 3}}), 3);
  EXPECT_THAT(error_of([&] {
                value_of(registry, "described", {{"valeu", 3}});
              }),
              HasSubstr("losses[0].params.valeu is not a known key; did you mean 'value'?"));
  EXPECT_EQ(registry.spec(Kind::kLoss, "described")->summary, "a constant");
}

TEST(RegistryTest, ParamsOfTheManifestCompleteAClassWithoutSpec) {
  Registry registry;
  const ComponentSpec spec{"", {{.name = "value", .fallback = 4.0, .meaning = ""}}};
  registry.publish({detail::loss_node<ConstantLoss>("constant")}, "lamp.so",
                   {{{Kind::kLoss, "constant"}, spec}});
  EXPECT_EQ(value_of(registry, "constant", {}), 4);
}

TEST(RegistryTest, ALossCanBeMadeOfOthers) {
  Registry registry;
  registry.publish(
      {detail::loss_node<DescribedLoss>("described"), detail::loss_node<NestedLoss>("nested")},
      "host");
  EXPECT_EQ(value_of(registry, "nested", {{"inner", "described"}}), 2);
}

TEST(RegistryTest, AKeyThatIsTakenIsRefusedNamingBothFilesAndNothingIsAdded) {
  Registry registry;
  registry.publish(announced(), "first.so");
  const std::vector<Announcement> second = {detail::loss_node<ConstantLoss>("fresh"),
                                            announced()[0]};
  const std::string problem = error_of([&] { registry.publish(second, "second.so"); });
  EXPECT_THAT(problem, HasSubstr("second.so is already registered by first.so"));
  EXPECT_FALSE(registry.has(Kind::kLoss, "fresh"));
}

TEST(RegistryTest, OneLibraryAnnouncingAKeyTwiceIsRefused) {
  Registry registry;
  const std::vector<Announcement> twice = {announced()[0], announced()[0]};
  EXPECT_THAT(error_of([&] { registry.publish(twice, "twice.so"); }),
              HasSubstr("of twice.so is already registered by twice.so"));
  EXPECT_TRUE(registry.keys(announced()[0].kind).empty());
}

TEST(RegistryTest, AnUnknownKeyNamesThePlaceAndTheClosestKey) {
  Registry registry;
  registry.publish(announced(), "lamp.so");
  EXPECT_EQ(
      error_of([&] { static_cast<void>(registry.make_model("lmap", Config(), "model")); }),
      "model: model 'lmap' is not registered; did you mean 'lamp'?; `pergola list models` shows "
      "all 1");
  const TypedConfig config{"const", Config(), Config(), "losses[0] (x.toml:3:4)"};
  EXPECT_THAT(error_of([&] { static_cast<void>(registry.make_loss(config)); }),
              HasSubstr("losses[0] (x.toml:3:4): loss 'const' is not registered"));
}

TEST(RegistryTest, LossesHaveMmfsKeysAndNeedTargets) {
  Registry registry;
  registry.publish(announced(), "lamp.so");
  const Config config(Value::Table{{"losses", Value::Array{"constant"}}});
  Losses losses(config.typed_list("losses"), registry);
  SampleList batch;
  batch.add_field("x", torch::zeros({2}));
  batch.set_dataset("easy_vqa", "val");
  EXPECT_TRUE(losses.compute(batch, {}).empty());
  batch.add_field("targets", torch::zeros({2}));
  const LossMap values = losses.compute(batch, {});
  ASSERT_EQ(values.size(), 1U);
  EXPECT_EQ(values.begin()->first, "val/easy_vqa/constant");
}

TEST(RegistryTest, ALossNamedTwiceIsRefused) {
  Registry registry;
  registry.publish(announced(), "lamp.so");
  const Config config(Value::Table{{"losses", Value::Array{"constant", "constant"}}});
  EXPECT_THAT(error_of([&] { Losses(config.typed_list("losses"), registry); }),
              HasSubstr("losses[1] names the loss 'constant' a second time"));
}

}  // namespace
}  // namespace pergola
