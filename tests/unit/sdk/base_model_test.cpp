// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/base_model.h"

#include "pergola/error.h"
#include "pergola/plugin.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// One linear layer [2] -> [3], a buffer, and what forward returns at a test's wish.
class TinyModel final : public BaseModel {
 public:
  TinyModel() : BaseModel(Config()) {}
  void build() override {
    linear_ = register_module("linear", torch::nn::Linear(2, 3));
    register_buffer("mean", torch::zeros({2}));
  }
  ModelOutput forward(const SampleList& batch) override {
    ModelOutput output;
    if (returns_scores) output.scores = linear_->forward(batch.tensor("x"));
    if (returns_fields) output.fields["embedding_1"] = batch.tensor("x");
    if (returns_losses) output.losses = LossMap{{"train/d/own", torch::tensor(2.0)}};
    return output;
  }
  std::string format_state_key(const std::string& key) const override {
    return key.rfind("old.", 0) == 0 ? "linear." + key.substr(4) : key;
  }

  void on_pretrained_loaded(const LoadReport& report) override {
    told_missing = report.missing_keys;
  }

  std::vector<std::string> told_missing;
  bool returns_scores = true;
  bool returns_fields = false;
  bool returns_losses = false;

 private:
  torch::nn::Linear linear_ = nullptr;
};

class BaseModelTest : public testing::Test {
 protected:
  BaseModelTest() {
    model_.build();
    batch_.add_field("x", torch::ones({4, 2}));
    batch_.set_dataset("d", "train");
  }
  static StateDict copy(const StateDict& state) {
    StateDict result;
    for (const auto& [key, tensor] : state) result.emplace_back(key, tensor.clone());
    return result;
  }
  std::string load_error(const StateDict& state) {
    try {
      model_.load_state_dict(state, Strict::kYes);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      return error.what();
    }
    return "(no error)";
  }

  TinyModel model_;
  SampleList batch_;
};

TEST_F(BaseModelTest, StateDictHasParametersAndBuffersInOrder) {
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : state_dict(model_)) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("mean", "linear.weight", "linear.bias"));
  EXPECT_EQ(model_.num_parameters(), 2 * 3 + 3);
}

TEST_F(BaseModelTest, CallWithoutScoresOrLossesIsThePluginsError) {
  model_.returns_scores = false;
  try {
    model_(batch_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
    EXPECT_THAT(error.what(), HasSubstr("returned neither scores nor losses"));
  }
}

TEST_F(BaseModelTest, FieldsAloneAreEnoughForLossesThatReadThem) {
  model_.returns_scores = false;
  model_.returns_fields = true;
  EXPECT_EQ(model_(batch_).fields.size(), 1U);
}

TEST_F(BaseModelTest, OwnLossesAreLeftAlone) {
  model_.returns_losses = true;
  const ModelOutput output = model_(batch_);
  EXPECT_EQ(output.losses->at("train/d/own").item<float>(), 2.0F);
}

TEST_F(BaseModelTest, WithoutConfiguredLossesTheMapIsEmpty) {
  EXPECT_TRUE(model_(batch_).losses->empty());
}

class FromPretrainedTest : public BaseModelTest {
 protected:
  // Stands for the host's: no file is read.
  static StateDict read(const std::string& path) {
    if (path == "foreign") return {{"a", torch::ones({1})}};
    return {{"old.bias", torch::full({3}, 7.0)}, {"other", torch::ones({1})}};
  }
  ~FromPretrainedTest() override { set_weight_reader(nullptr); }

  std::string error_of(const std::string& path) {
    try {
      model_.from_pretrained(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      return error.what();
    }
    return "(no error)";
  }
};

TEST_F(FromPretrainedTest, TakesWhatTheModelHasAndTellsItWhatIsMissing) {
  set_weight_reader(&FromPretrainedTest::read);
  const LoadReport report = model_.from_pretrained("weights.pth");
  EXPECT_THAT(report.missing_keys, ElementsAre("mean", "linear.weight"));
  EXPECT_THAT(report.unexpected_keys, ElementsAre("other"));
  EXPECT_EQ(model_.told_missing, report.missing_keys);
  EXPECT_EQ(model_.named_parameters()["linear.bias"][0].item<float>(), 7.0F);
}

TEST_F(FromPretrainedTest, WeightsOfAnotherModelAreRefused) {
  set_weight_reader(&FromPretrainedTest::read);
  EXPECT_THAT(error_of("foreign"),
              HasSubstr("none of the 1 weights in foreign is the model's: the first is a"));
}

TEST_F(FromPretrainedTest, AProgramThatReadsNoWeightsSaysSo) {
  EXPECT_THAT(error_of("weights.pth"), HasSubstr("nothing reads the weights in weights.pth"));
}

TEST_F(BaseModelTest, StateDictAndBackIsTheIdentity) {
  const StateDict before = copy(state_dict(model_));
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : model_.parameters()) parameter.add_(1);
  const LoadReport report = model_.load_state_dict(before, Strict::kYes);
  EXPECT_TRUE(report.missing_keys.empty() && report.unexpected_keys.empty());
  const StateDict after = state_dict(model_);
  for (std::size_t i = 0; i < after.size(); ++i)
    EXPECT_TRUE(after[i].second.equal(before[i].second));
}

// Counts what the CPU allocator hands out while it lives.
class AllocatedBytes final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*pointer*/, std::int64_t size, std::size_t /*allocated*/,
                         std::size_t /*reserved*/, c10::Device /*device*/) override {
    if (size > 0) bytes += size;
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }

  std::int64_t bytes = 0;
};

TEST_F(BaseModelTest, LoadingMakesNoFurtherCopyOfTheWeights) {
  const StateDict before = copy(state_dict(model_));
  const auto allocated = std::make_shared<AllocatedBytes>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, allocated);
  const at::Tensor counted = torch::empty({5}, at::kFloat);
  EXPECT_GE(allocated->bytes, 5 * 4);  // it does count
  allocated->bytes = 0;
  model_.load_state_dict(before, Strict::kYes);
  EXPECT_EQ(allocated->bytes, 0);
}

// Where each of the model's weights is.
std::vector<const void*> places(const BaseModel& model) {
  std::vector<const void*> all;
  for (const auto& [name, tensor] : state_dict(model)) all.push_back(tensor.const_data_ptr());
  return all;
}

TEST_F(BaseModelTest, TensorsThatAreGivenUpBecomeTheModels) {
  const std::vector<at::Tensor> parameters = model_.parameters();  // as an optimizer has them
  StateDict given = copy(state_dict(model_));
  given[1].second.fill_(3);
  std::vector<const void*> expected;
  for (const auto& [name, tensor] : given) expected.push_back(tensor.const_data_ptr());
  model_.load_state_dict(std::move(given), Strict::kYes);
  EXPECT_EQ(places(model_), expected);
  EXPECT_TRUE(parameters[0].requires_grad());
  parameters[0].sum().backward();
  EXPECT_EQ(model_.parameters()[0].grad()[0][0].item<float>(), 1.0F);
  EXPECT_EQ(parameters[0][0][0].item<float>(), 3.0F);
}

// A tensor that the caller keeps, one of another dtype, one that does not fill its memory, one over
// the caller's memory; and a parameter that somebody has a view of.
TEST_F(BaseModelTest, TensorsThatSomebodyElseSeesAreCopied) {
  const std::vector<const void*> before = places(model_);
  const at::Tensor view = model_.parameters()[0].detach().view({-1});
  const at::Tensor kept = torch::full({2}, 5.0);
  const auto load = [&](at::Tensor bias) {
    StateDict state = {{"mean", kept}, {"linear.weight", torch::full({3, 2}, 6.0)}};
    state.emplace_back("linear.bias", std::move(bias));
    model_.load_state_dict(std::move(state), Strict::kYes);
    EXPECT_EQ(places(model_), before);
    EXPECT_EQ(model_.parameters()[1][2].item<float>(), 7.0F);
  };
  load(torch::full({3}, 7.0, torch::kDouble));
  load(torch::full({4}, 7.0).narrow(0, 1, 3));
  load(torch::full({1}, 7.0).expand({3}));
  std::vector<float> callers(3, 7);
  load(at::from_blob(callers.data(), {3}));
  EXPECT_EQ(view[0].item<float>(), 6.0F);
}

// One layer of two names, the later of which is first in the alphabet.
class TwiceModel final : public BaseModel {
 public:
  TwiceModel() : BaseModel(Config()) {}
  void build() override {
    const torch::nn::Linear layer(torch::nn::LinearOptions(1, 1).bias(false));
    register_module("z", layer);
    register_module("a", layer);
  }
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }
};

TEST(BaseModelNamesTest, TheLaterOfTwoNamesWins) {
  TwiceModel model;
  model.build();
  const auto state = [] {
    return StateDict{{"a.weight", torch::full({1, 1}, 1.0)},
                     {"z.weight", torch::full({1, 1}, 2.0)}};
  };
  const StateDict kept = state();
  model.load_state_dict(kept, Strict::kYes);
  EXPECT_EQ(model.parameters()[0].item<float>(), 1.0F);
  model.load_state_dict(StateDict(state()), Strict::kYes);
  EXPECT_EQ(model.parameters()[0].item<float>(), 1.0F);
}

TEST_F(BaseModelTest, OldKeysAreRenamed) {
  const StateDict old = {{"mean", torch::zeros({2})},
                         {"old.weight", torch::full({3, 2}, 4.0)},
                         {"old.bias", torch::zeros({3})}};
  model_.load_state_dict(old, Strict::kYes);
  EXPECT_EQ(model_.parameters()[0][0][0].item<float>(), 4.0F);
}

TEST_F(BaseModelTest, StrictLoadListsEverythingThatDoesNotFitAndChangesNothing) {
  const StateDict before = copy(state_dict(model_));
  const StateDict bad = {{"linear.weight", torch::zeros({3, 5})},
                         {"linear.bias", torch::full({3}, 9.0)},
                         {"extra", torch::zeros({1})}};
  EXPECT_EQ(load_error(bad),
            "the weights do not fit the model in 3 places; use a checkpoint of the same model and "
            "config\n"
            "  weight         checkpoint  model\n"
            "  linear.weight  [3, 5]      [3, 2]\n"
            "  mean           missing     [2]\n"
            "  extra          unexpected  -");
  EXPECT_TRUE(state_dict(model_)[2].second.equal(before[2].second));
}

TEST_F(BaseModelTest, TwoKeysOfOneNameAreRefused) {
  StateDict both = copy(state_dict(model_));
  both.emplace_back("old.bias", torch::zeros({3}));
  EXPECT_THAT(load_error(both), HasSubstr("old.bias is a second 'linear.bias'"));
}

TEST_F(BaseModelTest, NonStrictLoadReportsWhatMissesAndTakesTheRest) {
  const LoadReport report = model_.load_state_dict(
      {{"linear.bias", torch::full({3}, 9.0)}, {"extra", torch::zeros({1})}}, Strict::kNo);
  EXPECT_THAT(report.missing_keys, ElementsAre("mean", "linear.weight"));
  EXPECT_THAT(report.unexpected_keys, ElementsAre("extra"));
  EXPECT_EQ(state_dict(model_)[2].second[0].item<float>(), 9.0F);
}

TEST_F(BaseModelTest, DefaultGroupHasEveryTrainedParameter) {
  model_.parameters()[1].set_requires_grad(false);
  const std::vector<ParameterGroup> groups = model_.optimizer_parameters(Config());
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_THAT(groups[0].names, ElementsAre("linear.weight"));
  EXPECT_EQ(model_.num_trained_parameters(), 6);
}

// Two names for one linear layer [2] -> [2], as a model with tied weights has.
class TiedModel final : public BaseModel {
 public:
  TiedModel() : BaseModel(Config()) {}
  void build() override {
    first = register_module("first", torch::nn::Linear(2, 2));
    register_module("second", first);
  }
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }

  torch::nn::Linear first = nullptr;
};

class TiedModelTest : public testing::Test {
 protected:
  TiedModelTest() { model_.build(); }
  TiedModel model_;
};

TEST_F(TiedModelTest, ASharedSubmoduleIsTrainedOnceUnderItsFirstName) {
  EXPECT_THAT(model_.optimizer_parameters(Config())[0].names,
              ElementsAre("first.weight", "first.bias"));
  EXPECT_EQ(model_.optimizer_parameters(Config())[0].parameters.size(), 2U);
}

TEST_F(TiedModelTest, ASharedSubmoduleCountsOnce) {
  EXPECT_EQ(model_.num_parameters(), 2 * 2 + 2);
  EXPECT_EQ(model_.num_trained_parameters(), 2 * 2 + 2);
}

// As torch's state_dict in Python.
TEST_F(TiedModelTest, ASharedSubmoduleIsSavedUnderBothNamesAndComesBack) {
  StateDict saved;
  for (const auto& [key, tensor] : state_dict(model_)) saved.emplace_back(key, tensor + 1);
  ASSERT_EQ(saved.size(), 4U);
  EXPECT_EQ(saved[2].first, "second.weight");
  model_.load_state_dict(saved, Strict::kYes);
  EXPECT_TRUE(model_.first->weight.equal(saved[0].second));
}

// A loss that is as much of a module as one can be: a parameter, and a buffer.
class ScaledLoss final : public Loss {
 public:
  explicit ScaledLoss(const Config& /*params*/) {
    register_buffer("center", torch::ones({3}));
    scale_ = register_parameter("scale", torch::full({}, 2.0));
  }
  LossMap compute(const SampleList& batch, const ModelOutput& output) override {
    const at::Tensor center = named_buffers()["center"];
    return {{"", scale_ * (output.scores - batch.tensor("targets") - center).square().mean()}};
  }

 private:
  at::Tensor scale_;
};

// One linear layer, with ScaledLoss from the config.
class ModelWithLoss final : public BaseModel {
 public:
  ModelWithLoss() : BaseModel(Config(Value::Table{{"losses", Value::Array{"scaled"}}})) {}
  void build() override {
    linear_ = register_module("linear", torch::nn::Linear(2, 3));
    if (has_own_losses) register_module("losses", torch::nn::Linear(2, 3));
  }
  ModelOutput forward(const SampleList& batch) override {
    return {.scores = linear_->forward(batch.tensor("x"))};
  }

  bool has_own_losses = false;

 private:
  torch::nn::Linear linear_ = nullptr;
};

class ConfiguredLossTest : public testing::Test {
 protected:
  ConfiguredLossTest() { registry_.publish({detail::loss_node<ScaledLoss>("scaled")}, "test"); }
  void build() {
    model_.build();
    model_.init_losses(registry_);
  }

  Registry registry_;
  ModelWithLoss model_;
};

TEST_F(ConfiguredLossTest, BuffersMoveWithTheModel) {
  build();
  model_.to(at::kDouble);
  EXPECT_EQ(model_.named_buffers()["losses.0.center"].scalar_type(), at::kDouble);
  SampleList batch;
  batch.add_field("x", torch::ones({4, 2}, at::kDouble));
  batch.add_field("targets", torch::ones({4, 3}, at::kDouble));
  batch.set_dataset("d", "train");
  EXPECT_EQ(model_(batch).losses->at("train/d/scaled").scalar_type(), at::kDouble);
}

TEST_F(ConfiguredLossTest, TrainAndEvalReachALoss) {
  build();
  const auto loss = model_.named_children()["losses"]->children()[0];
  model_.eval();
  EXPECT_FALSE(loss->is_training());
  model_.train();
  EXPECT_TRUE(loss->is_training());
}

TEST_F(ConfiguredLossTest, ParametersOfALossAreTrained) {
  build();
  EXPECT_THAT(model_.optimizer_parameters(Config())[0].names,
              ElementsAre("linear.weight", "linear.bias", "losses.0.scale"));
}

TEST_F(ConfiguredLossTest, WhatALossRegistersIsSavedAfterTheModelsOwn) {
  build();
  std::vector<std::string> keys;
  for (const auto& [key, tensor] : state_dict(model_)) keys.push_back(key);
  EXPECT_THAT(keys,
              ElementsAre("linear.weight", "linear.bias", "losses.0.scale", "losses.0.center"));
}

TEST_F(ConfiguredLossTest, AModelWithASubmoduleOfThatNameIsRefused) {
  model_.has_own_losses = true;
  try {
    build();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
    EXPECT_STREQ(error.what(),
                 "the model has a submodule 'losses', the name that the losses of the config are "
                 "saved under; give it another name in build()");
  }
}

TEST_F(BaseModelTest, TotalLossIsTheSumOfMeans) {
  const LossMap losses = {{"a", torch::tensor({1.0, 3.0})}, {"b", torch::tensor(5.0)}};
  EXPECT_EQ(total_loss(losses).item<double>(), 2.0 + 5.0);
}

}  // namespace
}  // namespace pergola
