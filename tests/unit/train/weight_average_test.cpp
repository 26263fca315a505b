// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/weight_average.h"

#include "unit/support/error_of.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using ::pergola::test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// `encoder`, once more as `text`; `norm` with its statistics; `frozen`, which is not trained; and
// `flat`, two parameters that share the memory of three, as those of a GPU's LSTM do.
class Model final : public BaseModel {
 public:
  Model() : BaseModel(Config()) { build(); }
  void build() override {
    encoder = register_module("encoder", torch::nn::Linear(2, 2));
    register_module("text", encoder);
    norm = register_module("norm", torch::nn::BatchNorm1d(2));
    frozen = register_parameter("frozen", torch::ones({2}), /*requires_grad=*/false);
    flat = torch::arange(6, torch::kFloat);
    first = register_parameter("first", flat.slice(0, 0, 2));
    second = register_parameter("second", flat.slice(0, 2, 4));
  }
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }

  // Sets all trained weights to `value`, as a step would.
  void set(double value) {
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : parameters()) {
      if (parameter.requires_grad()) parameter.fill_(value);
    }
  }
  // A step whose weights are a function of its number.
  void step(std::int64_t update) {
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : parameters()) {
      if (parameter.requires_grad()) parameter.mul_(0.7).add_(0.1 * static_cast<double>(update));
    }
  }
  [[nodiscard]] std::vector<at::Tensor> weights() const {
    std::vector<at::Tensor> all;
    for (const at::Tensor& parameter : parameters()) all.push_back(parameter.detach().clone());
    return all;
  }

  torch::nn::Linear encoder{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
  at::Tensor frozen;
  at::Tensor flat;
  at::Tensor first;
  at::Tensor second;
};

EmaConfig config(double decay = 0.9, std::int64_t start_update = 0, std::int64_t interval = 1) {
  return {.enabled = true, .decay = decay, .start_update = start_update, .interval = interval};
}

bool same(const std::vector<at::Tensor>& one, const std::vector<at::Tensor>& other) {
  return std::ranges::equal(one, other,
                            [](const at::Tensor& a, const at::Tensor& b) { return a.equal(b); });
}

std::vector<at::Tensor> averaged(WeightAverage& average, const Model& model) {
  const WeightAverage::Use use = average.use();
  return model.weights();
}

// What the encoder's weights are, all alike, while the average is in use.
float encoder_in_use(WeightAverage& average, const Model& model) {
  const WeightAverage::Use use = average.use();
  return model.encoder->weight[0][0].item<float>();
}

class WeightAverageTest : public ::testing::Test {
 protected:
  WeightAverageTest() { torch::manual_seed(3); }
  Model model_;
};

// 0.9 * 1 + 0.1 * 2 = 1.1, and 0.9 * 1.1 + 0.1 * 4 = 1.39.
TEST_F(WeightAverageTest, EachUpdateMovesTheAverageByOneMinusDecay) {
  model_.set(1);
  WeightAverage average(model_, config());
  EXPECT_FLOAT_EQ(encoder_in_use(average, model_), 1);
  model_.set(2);
  average.update(1);
  EXPECT_FLOAT_EQ(encoder_in_use(average, model_), 1.1F);
  model_.set(4);
  average.update(2);
  EXPECT_FLOAT_EQ(encoder_in_use(average, model_), 1.39F);
}

// The weights of update n are n. 3 until update 3; then every second one: 0.5 * 3 + 0.5 * 5 = 4.
TEST_F(WeightAverageTest, ItIsTheWeightsUntilItsStartAndMovesAtItsInterval) {
  WeightAverage average(model_, config(0.5, /*start_update=*/3, /*interval=*/2));
  const std::vector<float> expected = {1, 2, 3, 3, 4, 4};
  for (std::int64_t update = 1; update <= 6; ++update) {
    model_.set(static_cast<double>(update));
    average.update(update);
    EXPECT_FLOAT_EQ(encoder_in_use(average, model_), expected[update - 1]) << update;
  }
}

TEST_F(WeightAverageTest, UseExchangesMemoryAndGivesBackEveryBit) {
  WeightAverage average(model_, config());
  model_.step(1);
  average.update(1);
  const std::vector<at::Tensor> before = model_.weights();
  const at::Tensor alias = model_.encoder->weight.detach();
  const void* memory = alias.const_data_ptr();
  const void* other = nullptr;
  {
    const WeightAverage::Use use = average.use();
    other = model_.encoder->weight.const_data_ptr();
    EXPECT_NE(other, memory);
    EXPECT_EQ(alias.const_data_ptr(), other) << "who shares the weights sees it too";
    EXPECT_FALSE(same(model_.weights(), before));
  }
  EXPECT_EQ(model_.encoder->weight.const_data_ptr(), memory);
  EXPECT_TRUE(same(model_.weights(), before));
  {
    const WeightAverage::Use use = average.use();
    EXPECT_EQ(model_.encoder->weight.const_data_ptr(), other);
  }
}

TEST_F(WeightAverageTest, AnExceptionThatPassesLeavesTheWeights) {
  WeightAverage average(model_, config());
  model_.step(1);
  average.update(1);
  const std::vector<at::Tensor> before = model_.weights();
  const auto evaluate = [&] {
    const WeightAverage::Use use = average.use();
    throw std::runtime_error("no such image");
  };
  EXPECT_THROW(evaluate(), std::runtime_error);
  EXPECT_TRUE(same(model_.weights(), before));
  EXPECT_NO_THROW(average.update(2));
}

// Whose neighbours in memory are nobody's, but stay.
TEST_F(WeightAverageTest, ParametersThatShareMemoryWithOthersAreAveragedToo) {
  model_.set(1);
  WeightAverage average(model_, config(0.5));
  model_.set(3);
  average.update(1);
  {
    const WeightAverage::Use use = average.use();
    EXPECT_TRUE(model_.flat.equal(torch::tensor({2.0F, 2.0F, 2.0F, 2.0F, 4.0F, 5.0F})));
  }
  EXPECT_TRUE(model_.flat.equal(torch::tensor({3.0F, 3.0F, 3.0F, 3.0F, 4.0F, 5.0F})));
}

TEST_F(WeightAverageTest, TwoParametersMayHaveOneMemory) {
  model_.first.set_data(model_.encoder->bias.detach());
  WeightAverage average(model_, config(0.5));
  model_.set(3);
  average.update(1);
  const std::vector<at::Tensor> before = model_.weights();
  static_cast<void>(encoder_in_use(average, model_));
  EXPECT_TRUE(same(model_.weights(), before));
}

TEST_F(WeightAverageTest, BuffersAndFrozenWeightsAreTheModelsOwn) {
  WeightAverage average(model_, config());
  model_.norm->running_mean.fill_(7);
  {
    const at::NoGradGuard no_grad;
    model_.frozen.fill_(5);
  }
  average.update(1);
  const WeightAverage::Use use = average.use();
  EXPECT_TRUE(model_.norm->running_mean.equal(torch::full({2}, 7.0F)));
  EXPECT_TRUE(model_.frozen.equal(torch::full({2}, 5.0F)));
}

TEST_F(WeightAverageTest, ACheckpointHasTheAverageAsModelAndTheWeightsBesides) {
  model_.set(1);
  WeightAverage average(model_, config(0.5));
  model_.set(3);
  average.update(1);
  StateDict model = state_dict(model_);
  StateDict trainer = {{"rng/cpu", torch::zeros({1})}};
  average.exchange(model, trainer);
  for (const auto& [name, tensor] : model) {
    const bool trained = name != "frozen" && name.find("running") == name.npos &&
                         name.find("num_batches") == name.npos;
    if (trained) {
      EXPECT_EQ(tensor.min().item<float>(), 2) << name;
    }
  }
  std::vector<std::string> names;
  for (const auto& [name, tensor] : trainer) {
    names.push_back(name);
    if (name != "rng/cpu") {
      EXPECT_EQ(tensor.max().item<float>(), 3) << name;
    }
  }
  EXPECT_THAT(names,
              ElementsAre("rng/cpu", "weights/first", "weights/second", "weights/encoder.weight",
                          "weights/encoder.bias", "weights/text.weight", "weights/text.bias",
                          "weights/norm.weight", "weights/norm.bias"));
  // And back again, also for a run that averages nothing.
  const StateDict taken = take_average(model, trainer);
  EXPECT_EQ(taken.size(), 8U);
  EXPECT_EQ(taken[0].second.max().item<float>(), 2);
  EXPECT_EQ(trainer.size(), 1U);
  const StateDict own = state_dict(model_);
  ASSERT_EQ(model.size(), own.size());
  for (std::size_t i = 0; i < own.size(); ++i) EXPECT_TRUE(model[i].second.equal(own[i].second));
}

// Update 3, where the average begins, has its step skipped.
TEST_F(WeightAverageTest, ARunThatIsCutAnywhereHasTheAverageOfTheOneThatIsNot) {
  for (const std::int64_t start : {0, 3}) {
    const auto advance = [&](Model& model, WeightAverage& average, std::int64_t first,
                             std::int64_t last) {
      for (std::int64_t update = first; update <= last; ++update) {
        if (update == 3) continue;
        model.step(update);
        average.update(update);
      }
    };
    Model straight;
    straight.set(1);
    WeightAverage straight_average(straight, config(0.9, start, /*interval=*/2));
    advance(straight, straight_average, 1, 10);
    for (std::int64_t cut = 0; cut <= 10; ++cut) {
      Model first;
      first.set(1);
      WeightAverage first_average(first, config(0.9, start, /*interval=*/2));
      advance(first, first_average, 1, cut);
      StateDict model = state_dict(first);
      StateDict trainer;
      first_average.exchange(model, trainer);

      Model second;
      WeightAverage second_average(second, config(0.9, start, /*interval=*/2));
      const StateDict average = take_average(model, trainer);
      second.load_state_dict(model, Strict::kYes);
      second_average.restore(average, cut);
      advance(second, second_average, cut + 1, 10);
      EXPECT_TRUE(same(second.weights(), straight.weights())) << cut;
      EXPECT_TRUE(same(averaged(second_average, second), averaged(straight_average, straight)))
          << "cut after " << cut << ", start at " << start;
    }
  }
}

TEST_F(WeightAverageTest, ACheckpointWithoutAnAverageBeginsItWithTheWeights) {
  for (const std::int64_t start : {0, 3}) {
    model_.set(1);
    WeightAverage average(model_, config(0.9, start));
    model_.set(5);  // what the checkpoint has
    ::testing::internal::CaptureStderr();
    average.restore({}, /*update=*/7);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(),
                HasSubstr("[ema] the checkpoint has no averaged weights: the average begins with "
                          "the weights"));
    EXPECT_FLOAT_EQ(encoder_in_use(average, model_), 5);
  }
}

TEST_F(WeightAverageTest, AnAverageFromBeforeItsStartIsLeft) {
  WeightAverage average(model_, config(0.9, /*start_update=*/20));
  model_.set(5);
  average.restore({{"encoder.weight", torch::ones({2, 2})}}, /*update=*/7);
  EXPECT_FLOAT_EQ(encoder_in_use(average, model_), 5);
}

TEST_F(WeightAverageTest, WhatDoesNotFitIsACheckpointError) {
  WeightAverage average(model_, config());
  EXPECT_EQ(error_of(
                [&] {
                  average.restore({{"encoder.bias", torch::ones({3})}}, 1);
                },
                ErrorKind::kCheckpoint),
            "the averaged weight encoder.bias is [3], expected [2]; the checkpoint is of another "
            "model or config");
  StateDict model = {{"a", torch::ones({1})}};
  StateDict trainer = {{"weights/b", torch::ones({1})}};
  EXPECT_EQ(
      error_of([&] { static_cast<void>(take_average(model, trainer)); }, ErrorKind::kCheckpoint),
      "trainer.safetensors of the checkpoint has weights/b, and model.safetensors no b; the "
      "two are not of one checkpoint, so use another one");
}

}  // namespace
}  // namespace pergola::host
