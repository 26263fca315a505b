// SPDX-License-Identifier: BSD-3-Clause
// A model so small that a step of it is all overhead, and the vectors that it reads.
#include "pergola/ops.h"
#include "pergola/plugin.h"
#include "tools/bench/plugin/feature_pool.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

namespace pergola::bench {
namespace {

class TinyMlp final : public BaseModel {
 public:
  using BaseModel::BaseModel;

  void build() override {
    const auto width = config().get<std::int64_t>("width");
    const auto layers = config().get<std::int64_t>("layers");
    for (std::int64_t i = 0; i < layers; ++i) {
      const std::int64_t outputs = i + 1 < layers ? width : config().get<std::int64_t>("outputs");
      layers_.push_back(
          register_module("layer" + std::to_string(i), torch::nn::Linear(width, outputs)));
    }
  }

  bool makes_losses() const override { return true; }

  ModelOutput forward(const SampleList& batch) override {
    at::Tensor x = batch.tensor("x");
    for (const torch::nn::Linear& layer : layers_) {
      const bool is_last = &layer == &layers_.back();
      x = ops::linear(x, {.weight_MK = layer->weight,
                          .bias_M = layer->bias,
                          .activation = is_last ? ops::Activation::kNone : ops::Activation::kRelu});
    }
    ModelOutput output;
    output.losses = LossMap{{"mean_square", x.square().mean()}};
    output.scores = x;
    return output;
  }

 private:
  std::vector<torch::nn::Linear> layers_;
};

class SyntheticVectors final : public Dataset {
 public:
  explicit SyntheticVectors(const DatasetOptions& options)
      : samples_(options.config.get<std::int64_t>("samples")),
        vectors_(options.config.get<std::int64_t>("pool"),
                 {options.config.get<std::int64_t>("width")}, /*seed=*/1) {}

  std::int64_t size() const override { return samples_; }

  Sample get(std::int64_t index, Rng& /*rng*/) const override {
    Sample sample;
    sample.set("x", vectors_.at(static_cast<std::uint64_t>(index)));
    return sample;
  }

 private:
  const std::int64_t samples_;
  const FeaturePool vectors_;
};

PERGOLA_REGISTER_MODEL(TinyMlp, "tiny_mlp");
PERGOLA_REGISTER_DATASET(SyntheticVectors, "synthetic_vectors");

}  // namespace
}  // namespace pergola::bench
