// SPDX-License-Identifier: BSD-3-Clause
// A VisualBERT small enough for exact numbers, and a batch for it (MMF.md 12.5). For its tests.
#pragma once

#include "plugins/model_testing.h"
#include "plugins/visual_bert/visual_bert.h"

#include <ATen/Parallel.h>

#include <memory>
#include <string>
#include <vector>

namespace pergola::visual_bert {

// 30 words, 5 answers, regions of width 7.
inline constexpr const char* kMini = R"(
  text_vocab_size = 30
  num_final_outputs = 5
  training_head_type = "classification"
  hidden_size = 8
  num_hidden_layers = 2
  num_attention_heads = 2
  intermediate_size = 16
  max_position_embeddings = 16
  visual_embedding_dim = 7
  hidden_dropout_prob = 0.0
  attention_probs_dropout_prob = 0.0
  special_visual_initialize = false
)";

// kMini with changes, and the weights of model_testing.h's rule. On one thread: more that wait for
// each other help no tensor this small.
[[nodiscard]] inline std::shared_ptr<VisualBert> build_mini(
    const std::vector<std::string>& changes = {}) {
  std::vector<std::string> all = {kMini};
  all.insert(all.end(), changes.begin(), changes.end());
  at::set_num_threads(1);
  torch::manual_seed(3);
  auto model = test::build_model<VisualBert>("visual_bert", all);
  test::fill_by_rule(*model);
  return model;
}

// The same with random weights, so large that every part of the input shows in the scores.
[[nodiscard]] inline std::shared_ptr<VisualBert> build_random(const std::string& change = "") {
  at::set_num_threads(1);
  torch::manual_seed(3);
  return test::build_model<VisualBert>("visual_bert", {kMini, "initializer_range = 0.5", change});
}

// Regions [2, 3, 7], of which the second image has two.
[[nodiscard]] inline SampleList mini_image(double phase = 0.5) {
  SampleList info;
  info.add_field("max_features", torch::tensor(std::vector<std::int64_t>{3, 2}));
  SampleList batch;
  batch.add_field("image_feature_0", test::ramp({2, 3, 7}, 0.21, phase));
  batch.add_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
  return batch;
}

// Two questions, of four and of six words.
inline void add_mini_words(SampleList& batch) {
  const at::Tensor ids = torch::tensor({{1, 5, 9, 2, 0, 0}, {1, 7, 8, 11, 12, 2}}, torch::kLong);
  batch.add_field("input_ids", ids);
  batch.add_field("input_mask", ids.ne(0).to(torch::kLong));
  batch.add_field("segment_ids", torch::zeros_like(ids));
}

[[nodiscard]] inline SampleList mini_batch() {
  SampleList batch = mini_image();
  add_mini_words(batch);
  batch.set_dataset("mini", "train");
  return batch;
}

// The words with two images, as nlvr2 reads them.
[[nodiscard]] inline SampleList mini_pair(SampleList first = mini_image(.5),
                                          SampleList second = mini_image(1.5)) {
  SampleList batch;
  batch.add_field("img0", std::make_shared<const SampleList>(std::move(first)));
  batch.add_field("img1", std::make_shared<const SampleList>(std::move(second)));
  add_mini_words(batch);
  return batch;
}

// Words of the regions of mini_image(), [2, 3, 2].
[[nodiscard]] inline at::Tensor mini_alignment() {
  return torch::tensor({{{1, -1}, {2, 3}, {-1, -1}}, {{1, 2}, {4, 4}, {-1, -1}}}, torch::kLong);
}

}  // namespace pergola::visual_bert
