// SPDX-License-Identifier: BSD-3-Clause
// Top-down attention: the question weighs the regions of an image (Anderson et al., 2018; MMF's
// ImageFeatureEmbedding and TopDownAttention).
// Legend: B = batch, R = regions, D = width of a region, Q = question, A = glimpses.
#pragma once

#include "image_encoders.h"
#include "layers.h"

#include <memory>

namespace pergola::pythia {

class TopDownAttention : public torch::nn::Module {
 public:
  TopDownAttention(std::int64_t image_dim, std::int64_t text_dim,
                   const ImageAttentionConfig& config);

  // The regions' weighted sums, one for each glimpse: [B, A * D].
  [[nodiscard]] at::Tensor forward(const Regions& regions, const at::Tensor& text_BQ) const;

 private:
  // The weights [B, R, A]; those of regions that are only padding are 0.
  [[nodiscard]] at::Tensor weights(const Regions& regions, const at::Tensor& text_BQ) const;

  Normalization normalization_;
  std::shared_ptr<ElementMultiply> combination_layer_;  // shared: torch::nn children are
  std::shared_ptr<WeightNormLinear> transform_;
};

}  // namespace pergola::pythia
