// SPDX-License-Identifier: BSD-3-Clause
// A model and a data set that are as simple as can be, for tests of what is around them.
#pragma once

#include "host/model/builtins.h"
#include "pergola/base_model.h"
#include "pergola/dataset.h"
#include "pergola/error.h"
#include "pergola/registry.h"

#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <functional>
#include <memory>

namespace pergola::host {

// Sample i: x = [i, 1] / size, a class i % 3 as one-hot targets.
class BoringDataset final : public Dataset {
 public:
  explicit BoringDataset(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  Sample get(std::int64_t index, Rng& /*rng*/) const override {
    Sample sample;
    const auto part = static_cast<float>(index) / static_cast<float>(size_);
    sample.set("x", torch::tensor({part, 1.0F}));
    if (has_targets) {
      sample.set("targets", torch::one_hot(torch::tensor(index % 3), 3).to(torch::kFloat));
    }
    return sample;
  }

  bool has_targets = true;

 private:
  std::int64_t size_;
};

// Linear, dropout, linear: [2] -> [8] -> [3]. `on_forward` injects one fault for a test.
class BoringModel final : public BaseModel {
 public:
  explicit BoringModel(const Config& config) : BaseModel(config) {}
  void build() override {
    first_ = register_module("first", torch::nn::Linear(2, 8));
    dropout_ = register_module("dropout", torch::nn::Dropout(0.5));
    second_ = register_module("second", torch::nn::Linear(8, 3));
  }
  ModelOutput forward(const SampleList& batch) override {
    ModelOutput output;
    output.scores = second_(dropout_(torch::relu(first_(batch.tensor("x")))));
    if (on_forward) on_forward(output);
    return output;
  }

  std::function<void(ModelOutput&)> on_forward;

 private:
  torch::nn::Linear first_ = nullptr;
  torch::nn::Dropout dropout_ = nullptr;
  torch::nn::Linear second_ = nullptr;
};

inline std::shared_ptr<BoringModel> make_boring_model(const Registry& registry) {
  torch::manual_seed(11);
  auto model =
      std::make_shared<BoringModel>(Config(Value::Table{{"losses", Value::Array{"logit_bce"}}}));
  model->build();
  model->init_losses(registry);
  return model;
}

inline Registry builtin_registry() {
  Registry registry;
  registry.publish(builtin_model_parts(), "host");
  return registry;
}

}  // namespace pergola::host
