// SPDX-License-Identifier: BSD-3-Clause
// A Pythia small enough to follow by hand, and a batch for it (MMF.md 12.5). For its tests.
#pragma once

#include "plugins/model_testing.h"
#include "plugins/pythia/pythia.h"

#include <memory>
#include <string>
#include <vector>

namespace pergola::pythia {

// 20 words, 11 answers, one feature of width 7.
inline constexpr const char* kMini = R"(
  text_vocab_size = 20
  num_final_outputs = 11
  image_feature_dim = 7
  image_feature_encodings = ["default"]
  image_text_modal_combine.params.hidden_dim = 9
  classifier.params = {img_hidden_dim = 9, text_hidden_dim = 4}
  [[text_embeddings]]
  type = "attention"
  params = {embedding_dim = 8, hidden_dim = 6, conv1_out = 5, conv2_out = 2}
  [[image_feature_embeddings]]
  modal_combine = {type = "non_linear_element_multiply", params = {hidden_dim = 9}}
  transform = "linear"
)";

// kMini with a change, freshly initialised with the same seed.
[[nodiscard]] inline std::shared_ptr<Pythia> build_mini(const std::string& change = "") {
  torch::manual_seed(3);
  return test::build_model<Pythia>("pythia", {kMini, change});
}

// `image_info_<i>`: how many regions of each image are real.
[[nodiscard]] inline Field image_info(const std::vector<std::int64_t>& max_features) {
  SampleList info;
  info.add_field("max_features", torch::tensor(max_features));
  return std::make_shared<const SampleList>(std::move(info));
}

// Two questions, and one feature of three regions of which the second image has only two.
[[nodiscard]] inline SampleList mini_batch() {
  SampleList batch;
  batch.add_field("text", torch::tensor({{1, 2, 3, 4, 5}, {6, 7, 8, 0, 0}}, torch::kLong));
  batch.add_field("image_feature_0", test::ramp({2, 3, 7}, 0.21, 0.5));
  batch.add_field("image_info_0", image_info({3, 2}));
  return batch;
}

}  // namespace pergola::pythia
