// SPDX-License-Identifier: BSD-3-Clause
// tests/golden/visual_bert.json, and what its tests share: the model, the rule of its weights and
// the batch of tools/reference/visual_bert.py.
#pragma once

#include "plugins/model_testing.h"
#include "plugins/visual_bert/visual_bert.h"

#include <ATen/Parallel.h>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pergola::visual_bert {

inline constexpr const char* kGoldenModel = R"(
  text_vocab_size = 60
  num_labels = 7
  training_head_type = "classification"
  classifier = "linear"
  hidden_size = 8
  num_hidden_layers = 4
  num_attention_heads = 4
  intermediate_size = 12
  max_position_embeddings = 24
  visual_embedding_dim = 12
  hidden_dropout_prob = 0.0
  attention_probs_dropout_prob = 0.0
  output_hidden_states = true
)";

inline const nlohmann::json& golden() {
  static const nlohmann::json golden =
      nlohmann::json::parse(std::ifstream(PERGOLA_GOLDEN_DIR "/visual_bert.json"));
  return golden;
}

inline at::Tensor numbers(const nlohmann::json& list) {
  return torch::tensor(list.get<std::vector<double>>(), torch::kDouble);
}

// A tensor behind two names is there once, under that which the reference has.
inline std::map<std::string, at::Tensor> sorted_parameters(const VisualBert& model) {
  std::map<std::string, at::Tensor> sorted;
  for (const auto& item : model.named_parameters()) {
    if (item.key().find(".decoder.") == std::string::npos) sorted.emplace(item.key(), item.value());
  }
  return sorted;
}

// kGoldenModel with changes, on one thread: more that wait for each other help no tensor this
// small.
inline std::shared_ptr<VisualBert> build_golden(const std::vector<std::string>& changes) {
  at::set_num_threads(1);
  std::vector<std::string> all = {kGoldenModel};
  all.insert(all.end(), changes.begin(), changes.end());
  auto model = test::build_model<VisualBert>("visual_bert", all);
  const torch::NoGradGuard no_grad;
  double k = 0;
  for (auto& [name, parameter] : sorted_parameters(*model)) {
    const double start = name.ends_with("LayerNorm.weight") ? 1 : 0;
    parameter.copy_((test::noise(parameter.numel(), k++) + start).view(parameter.sizes()));
  }
  return model;
}

// Images of so many regions each, [3, 4, 12].
inline SampleList golden_image(double k, const std::vector<std::int64_t>& regions) {
  SampleList image;
  image.add_field("image_feature_0",
                  test::noise(3 * 4 * 12, k).view({3, 4, 12}).to(torch::kFloat) * 5);
  SampleList info;
  info.add_field("max_features", torch::tensor(regions));
  image.add_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
  return image;
}

// Three questions of 7, 5 and 4 words.
inline void add_golden_words(SampleList& batch) {
  const at::Tensor words = torch::tensor({{7}, {5}, {4}}, torch::kLong);
  const at::Tensor places = torch::arange(7, torch::kLong);
  const at::Tensor mask = places.lt(words).to(torch::kLong);
  const at::Tensor ids = torch::arange(21, torch::kLong).view({3, 7}) * 17 % 59 + 1;
  batch.add_field("input_ids", ids * mask);
  batch.add_field("input_mask", mask);
  batch.add_field("segment_ids", places.gt(3).to(torch::kLong) * mask);
  batch.set_dataset("golden", "train");
}

inline SampleList golden_batch() {
  SampleList batch = golden_image(500, {4, 2, 3});
  add_golden_words(batch);
  return batch;
}

// Of scores [3, 7].
inline at::Tensor golden_loss(const at::Tensor& scores) {
  const at::Tensor targets = test::noise(21, 600).view({3, 7}).gt(.05).to(torch::kFloat);
  return test::logit_bce(scores, targets);
}

enum class What { kParameters, kGradients };

// Compares every number of each of the reference's tensors: gradients to 1e-4 of their tensor's
// largest, parameters to 1e-4.
inline void expect_tensors(const VisualBert& model, const nlohmann::json& expected, What what) {
  std::size_t compared = 0;
  for (const auto& [name, parameter] : sorted_parameters(model)) {
    const at::Tensor& tensor = what == What::kGradients ? parameter.grad() : parameter;
    EXPECT_EQ(tensor.defined(), expected.contains(name)) << name;
    if (!tensor.defined() || !expected.contains(name)) continue;
    ++compared;
    double tolerance = 1e-4;
    const at::Tensor reference = numbers(expected.at(name)).view(tensor.sizes());
    if (what == What::kGradients) tolerance *= reference.abs().max().item<double>();
    // The gradient of a key's bias is rounding alone, which AdamW makes as large as any.
    if (name.ends_with("key.bias")) {
      if (what == What::kParameters) continue;
      tolerance = 1e-6;
    }
    EXPECT_TRUE(test::close(tensor.detach().to(torch::kDouble), reference, tolerance)) << name;
  }
  EXPECT_EQ(compared, expected.size());
}

}  // namespace pergola::visual_bert
