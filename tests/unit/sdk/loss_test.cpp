// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/loss.h"

#include "pergola/plugin.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace pergola {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// 2, or params.value; with params.parts one value a part.
class ConstantLosses final : public Loss {
 public:
  explicit ConstantLosses(const Config& params)
      : value_(params.get<double>("value", 2.0)),
        parts_(params.get<std::vector<std::string>>("parts", {""})) {}
  LossMap compute(const SampleList& /*batch*/, const ModelOutput& /*output*/) override {
    LossMap values;
    for (const std::string& part : parts_) values[part] = torch::tensor(value_);
    return values;
  }

 private:
  double value_;
  std::vector<std::string> parts_;
};

class UndefinedLoss final : public Loss {
 public:
  explicit UndefinedLoss(const Config& /*params*/) {}
  LossMap compute(const SampleList& /*batch*/, const ModelOutput& /*output*/) override {
    return {{"", at::Tensor()}};
  }
};

class LossesTest : public testing::Test {
 protected:
  LossesTest() {
    registry_.publish(
        {detail::loss_node<ConstantLosses>("constant"), detail::loss_node<ConstantLosses>("other"),
         detail::loss_node<UndefinedLoss>("undefined")},
        "test");
    batch_.add_field("targets", torch::ones({2}));
    batch_.set_dataset("vqa2", "train");
  }
  // What `losses = entries` gives for the batch: value by key.
  std::map<std::string, double> values(Value::Array entries) {
    const Config config(Value::Table{{"losses", std::move(entries)}}, "model_config.m");
    Losses losses(config.typed_list("losses"), registry_);
    std::map<std::string, double> found;
    for (const auto& [key, value] : losses.compute(batch_, {})) found[key] = value.item<double>();
    return found;
  }
  std::string error_of(Value::Array entries, ErrorKind kind = ErrorKind::kConfig) {
    try {
      values(std::move(entries));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind);
      return error.what();
    }
    return "(no error)";
  }
  static Value::Table entry(const std::string& type, const std::string& key, Value value) {
    return {{"type", type}, {key, std::move(value)}};
  }

  Registry registry_;
  SampleList batch_;
};

using Pair = std::pair<const std::string, double>;

TEST_F(LossesTest, AnEntryIsANameOrATable) {
  const Value::Table table = entry("other", "params", Value::Table{{"value", 5}});
  EXPECT_THAT(values({"constant", table}),
              ElementsAre(Pair("train/vqa2/constant", 2), Pair("train/vqa2/other", 5)));
}

TEST_F(LossesTest, SeveralValuesHaveTheirNamesBehindTheLoss) {
  const Value::Table params{{"parts", Value::Array{"kl", "bce"}}};
  EXPECT_THAT(values({entry("constant", "params", params)}),
              ElementsAre(Pair("train/vqa2/constant/bce", 2), Pair("train/vqa2/constant/kl", 2)));
}

TEST_F(LossesTest, TheWeightMultipliesEveryValue) {
  EXPECT_EQ(values({entry("constant", "weight", 0.25)}).at("train/vqa2/constant"), 0.5);
  EXPECT_EQ(values({entry("constant", "weight", -1)}).at("train/vqa2/constant"), -2);
  Value::Table both = entry("constant", "weight", 3);
  both["params"] = Value::Table{{"parts", Value::Array{"a", "b"}}};
  EXPECT_THAT(values({both}),
              ElementsAre(Pair("train/vqa2/constant/a", 6), Pair("train/vqa2/constant/b", 6)));
}

TEST_F(LossesTest, AWeightMustBeAFiniteNumber) {
  EXPECT_THAT(error_of({entry("constant", "weight", std::numeric_limits<double>::infinity())}),
              HasSubstr("model_config.m.losses[0].weight"));
  EXPECT_THAT(error_of({entry("constant", "weight", std::numeric_limits<double>::quiet_NaN())}),
              HasSubstr("model_config.m.losses[0].weight"));
  EXPECT_THAT(error_of({entry("constant", "weight", "much")}),
              HasSubstr("model_config.m.losses[0].weight"));
}

TEST_F(LossesTest, ALossIsForItsDataSetsAlone) {
  EXPECT_THAT(values({entry("constant", "datasets", Value::Array{"vqa2", "gqa"}),
                      entry("other", "datasets", Value::Array{"gqa"})}),
              ElementsAre(Pair("train/vqa2/constant", 2)));
  batch_.set_dataset("coco", "train");
  EXPECT_THAT(values({entry("constant", "datasets", Value::Array{"vqa2"})}), IsEmpty());
}

TEST_F(LossesTest, DatasetsMustBeNames) {
  EXPECT_THAT(error_of({entry("constant", "datasets", "vqa2")}),
              HasSubstr("model_config.m.losses[0].datasets"));
}

TEST_F(LossesTest, OneLossMayDifferBetweenDataSets) {
  Value::Table vqa2 = entry("constant", "datasets", Value::Array{"vqa2"});
  Value::Table gqa = entry("constant", "datasets", Value::Array{"gqa"});
  vqa2["weight"] = 2;
  gqa["weight"] = 3;
  EXPECT_THAT(values({gqa, vqa2}), ElementsAre(Pair("train/vqa2/constant", 4)));
}

TEST_F(LossesTest, TwoOfOneNameForOneDataSetAreRefused) {
  const std::string expected =
      "model_config.m.losses[1] names the loss 'constant' a second time; name it once, or give "
      "each the datasets that it is for";
  EXPECT_EQ(error_of({"constant", "constant"}), expected);
  EXPECT_EQ(error_of({"constant", entry("constant", "datasets", Value::Array{"gqa"})}), expected);
  EXPECT_EQ(error_of({entry("constant", "datasets", Value::Array{"vqa2", "gqa"}),
                      entry("constant", "datasets", Value::Array{"gqa"})}),
            expected);
}

TEST_F(LossesTest, AnUnknownLossOrOptionIsRefusedWithTheClosest) {
  EXPECT_THAT(error_of({"constnat"}), HasSubstr("did you mean 'constant'?"));
  EXPECT_EQ(error_of({entry("constant", "wieght", 1)}),
            "model_config.m.losses[0].wieght is not a known key; did you mean 'weight'?");
}

TEST_F(LossesTest, ABatchWithoutTargetsHasNoLosses) {
  batch_ = SampleList();
  batch_.add_field("text", torch::ones({2}));
  batch_.set_dataset("vqa2", "test");
  EXPECT_THAT(values({"constant"}), IsEmpty());
}

TEST_F(LossesTest, NoTensorIsThePluginsFault) {
  EXPECT_EQ(error_of({"undefined"}, ErrorKind::kPlugin),
            "loss 'undefined' returned no tensor for train/vqa2/undefined; return a scalar or one "
            "value a sample");
}

}  // namespace
}  // namespace pergola
