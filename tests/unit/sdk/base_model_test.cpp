// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/base_model.h"

#include "pergola/error.h"
#include "pergola/registry.h"

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
    if (returns_losses) output.losses = LossMap{{"train/d/own", torch::tensor(2.0)}};
    return output;
  }
  std::string format_state_key(const std::string& key) const override {
    return key.rfind("old.", 0) == 0 ? "linear." + key.substr(4) : key;
  }

  bool returns_scores = true;
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

TEST_F(BaseModelTest, OwnLossesAreLeftAlone) {
  model_.returns_losses = true;
  const ModelOutput output = model_(batch_);
  EXPECT_EQ(output.losses->at("train/d/own").item<float>(), 2.0F);
}

TEST_F(BaseModelTest, WithoutConfiguredLossesTheMapIsEmpty) {
  EXPECT_TRUE(model_(batch_).losses->empty());
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
  EXPECT_EQ(
      load_error(bad),
      "the weights do not fit the model: linear.weight is [3, 5], the model has [3, 2]; missing: "
      "mean; unexpected: extra; use a checkpoint of the same model and config");
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

TEST_F(BaseModelTest, TotalLossIsTheSumOfMeans) {
  const LossMap losses = {{"a", torch::tensor({1.0, 3.0})}, {"b", torch::tensor(5.0)}};
  EXPECT_EQ(total_loss(losses).item<double>(), 2.0 + 5.0);
}

}  // namespace
}  // namespace pergola
