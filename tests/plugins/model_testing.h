// SPDX-License-Identifier: BSD-3-Clause
// What the tests of a model share that needs LibTorch: making one, known weights, known inputs.
#pragma once

#include "pergola/base_model.h"
#include "plugins/model_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pergola::test {

template <class Model>
[[nodiscard]] std::shared_ptr<Model> build_model(const std::string& name,
                                                 const std::vector<std::string>& changes,
                                                 const std::string& plugin = "") {
  auto model = std::make_shared<Model>(model_config(name, changes, plugin));
  model->build();
  return model;
}

// MMF.md's rule for weights that need no file: parameters sorted by name, k = place; a 0-d one is
// 1 + 0.5 sin(1.3 k), element i of another 0.3 sin(0.37 i + 1.3 k).
inline void fill_by_rule(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  std::vector<std::pair<std::string, at::Tensor>> sorted;
  for (const auto& item : module.named_parameters()) sorted.emplace_back(item.key(), item.value());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  double k = 0.0;
  for (auto& [name, parameter] : sorted) {
    const at::Tensor i = torch::arange(parameter.numel(), torch::kDouble);
    if (parameter.dim() == 0) {
      parameter.fill_(1.0 + 0.5 * std::sin(1.3 * k));
    } else {
      parameter.copy_((i * 0.37 + 1.3 * k).sin().mul(0.3).view(parameter.sizes()));
    }
    k += 1.0;
  }
}

// The state of `from`, loaded into `into`, is the same afterwards, key for key and bit for bit.
// `into` is another model of the same config.
inline void expect_state_dict_is_identity(BaseModel& from, BaseModel& into) {
  const torch::NoGradGuard no_grad;
  for (at::Tensor& parameter : into.parameters()) parameter.fill_(0.125);
  const StateDict before = state_dict(from);
  const LoadReport report = into.load_state_dict(before, Strict::kYes);
  EXPECT_TRUE(report.missing_keys.empty());
  EXPECT_TRUE(report.unexpected_keys.empty());
  const StateDict after = state_dict(into);
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].first, before[i].first);
    EXPECT_TRUE(after[i].second.equal(before[i].second)) << after[i].first;
  }
}

// The ways to attend, and "prepared": packed with what the host lets the model add to each batch.
inline constexpr const char* kAttentions[] = {"sdpa", "plain", "packed", "prepared"};

// Its line in the model's config.
[[nodiscard]] inline std::string attention_key(const std::string& way) {
  return "attention = \"" + (way == "prepared" ? "packed" : way) + "\"";
}

// The batch with what the model adds to it before it goes to a device.
[[nodiscard]] inline SampleList prepared(const BaseModel& model, const SampleList& batch) {
  SampleList copy = batch.get_fields(batch.fields());
  model.on_before_batch_transfer(copy);
  return copy;
}

// That, where `way` says so.
[[nodiscard]] inline SampleList as_wanted(const std::string& way, const BaseModel& model,
                                          const SampleList& batch) {
  return way == "prepared" ? prepared(model, batch) : batch.get_fields(batch.fields());
}

// Element i is cos(a i + b).
[[nodiscard]] inline at::Tensor ramp(at::IntArrayRef shape, double a, double b) {
  const std::int64_t size = c10::multiply_integers(shape);
  return (torch::arange(size, torch::kDouble) * a + b).cos().to(torch::kFloat).view(shape);
}

// In [-0.2, 0.2) and as good as random, from their places alone: float64 [count]. The rule of
// tools/reference/visual_bert.py, mmbt.py and fusion_models.py.
[[nodiscard]] inline at::Tensor noise(std::int64_t count, double k) {
  const at::Tensor i = torch::arange(count, torch::kDouble);
  const at::Tensor u = (i * 12.9898 + 78.233 * (k + 1)).sin() * 43758.5453;
  return (u - u.floor() - 0.5) * 0.4;
}

// MMF's logit_bce: the mean binary cross entropy times the number of answers.
[[nodiscard]] inline at::Tensor logit_bce(const at::Tensor& scores_BC,
                                          const at::Tensor& targets_BC) {
  return torch::binary_cross_entropy_with_logits(scores_BC, targets_BC) * targets_BC.size(1);
}

[[nodiscard]] inline std::vector<std::string> parameter_names(const torch::nn::Module& module) {
  std::vector<std::string> names;
  for (const auto& item : module.named_parameters()) names.push_back(item.key());
  return names;
}

[[nodiscard]] inline bool close(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  return torch::allclose(a, b, /*rtol=*/0.0, tolerance);
}

// The names of the parameters that `loss` gives no gradient, or only one of (nearly) zero.
[[nodiscard]] inline std::vector<std::string> without_gradient(const torch::nn::Module& module,
                                                               const at::Tensor& loss) {
  constexpr double kNearlyZero = 1e-6;
  loss.backward();
  std::vector<std::string> names;
  for (const auto& item : module.named_parameters()) {
    const at::Tensor& gradient = item.value().grad();
    if (!gradient.defined() || gradient.abs().max().item<double>() < kNearlyZero) {
      names.push_back(item.key());
    }
  }
  return names;
}

}  // namespace pergola::test
