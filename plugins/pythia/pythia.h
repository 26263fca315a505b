// SPDX-License-Identifier: BSD-3-Clause
// Pythia v0.1 (Jiang et al., 2018), MMF's model of that name with its state-dict keys, so that
// released weights load. Question words → text attention; image regions → one encoder for each
// feature → top-down attention; both combined by element-wise product → logits.
// Legend: B = batch, T = words, Q = question, C = answers.
#pragma once

#include "image_attention.h"
#include "image_encoders.h"
#include "layers.h"
#include "pergola/plugin.h"
#include "pythia_config.h"
#include "text_attention.h"

#include <torch/nn/modules/embedding.h>

#include <memory>
#include <string>
#include <vector>

namespace pergola::pythia {

class Pythia final : public BaseModel {
 public:
  // Throws Error{kConfig} as PythiaConfig::parse does.
  explicit Pythia(const Config& config);

  void build() override;

  // Reads `text` [B, T], and for each encoder `image_feature_<i>` [B, R, D] with the optional
  // `image_info_<i>.max_features` [B], or `image` [B, 3, height, width]. Returns `scores` [B, C].
  ModelOutput forward(const SampleList& batch) override;

  // Of releases before MMF: fa_history, and fc7 layers one level deeper.
  [[nodiscard]] std::string format_state_key(const std::string& key) const override;

  // All at the common rate, but encoders that are only fine-tuned at a tenth of it. `conv_grid`
  // starts from nothing and so has the common one.
  [[nodiscard]] std::vector<ParameterGroup> optimizer_parameters(
      const Config& optimizer_config) const override;

 private:
  struct Feature {
    std::shared_ptr<ImageEncoder> encoder;  // shared: torch::nn children are
    std::vector<std::shared_ptr<TopDownAttention>> attentions;
  };

  // Return the width of what they make: of the question, and of the attended image.
  std::int64_t build_text();
  std::int64_t build_features(std::int64_t text_dim);
  [[nodiscard]] at::Tensor embed_text(const SampleList& batch);
  [[nodiscard]] at::Tensor embed_image(const SampleList& batch, const at::Tensor& text_BQ) const;

  const PythiaConfig options_;
  std::string surplus_feature_;  // the first image_feature_<i> that no encoder reads
  torch::nn::Embedding word_embedding_{nullptr};
  std::vector<std::shared_ptr<TextAttention>> text_embeddings_;
  std::vector<Feature> features_;
  std::shared_ptr<ElementMultiply> combine_;
  std::shared_ptr<LogitClassifier> classifier_;
};

}  // namespace pergola::pythia
