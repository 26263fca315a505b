// SPDX-License-Identifier: BSD-3-Clause
// The input of VisualBERT's encoder: words and image regions in one sequence. Owns its weights;
// used on one thread. Legend: B = batch, L = words, R = regions, F = width of a region, D =
// hidden_size, K = words that a region is aligned with at most, N = words and regions without
// padding.
#pragma once

#include "visual_bert_config.h"

namespace pergola::visual_bert {

class VisualBertEmbeddings : public nn::BertEmbeddings {
 public:
  explicit VisualBertEmbeddings(const VisualBertConfig& config);

  // The tables of image types and positions begin as those of words (special_visual_initialize).
  void initialize_visual_from_text();

  // ids, types int64 [B, L], regions [B, R, F]; alignment int64 [B, R, K], numbers of words or -1,
  // or undefined → [B, L + R, D]. Throws Error{kData} for an alignment of another shape.
  [[nodiscard]] at::Tensor forward(const at::Tensor& ids_BL, const at::Tensor& types_BL,
                                   const at::Tensor& regions_BRF, const at::Tensor& alignment_BRK);

  // The same of the tokens that `mask` [B, L + R] has: [N, D].
  [[nodiscard]] at::Tensor forward_packed(const at::Tensor& ids_BL, const at::Tensor& types_BL,
                                          const at::Tensor& regions_BRF,
                                          const at::Tensor& alignment_BRK,
                                          const nn::TokenMask& mask);

 private:
  [[nodiscard]] at::Tensor place_of_regions() const;
  [[nodiscard]] at::Tensor embed_regions(const at::Tensor& regions_BRF,
                                         const at::Tensor& alignment_BRK);

  torch::nn::Embedding token_type_embeddings_visual_{nullptr}, position_embeddings_visual_{nullptr};
  torch::nn::Linear projection_{nullptr};
};

}  // namespace pergola::visual_bert
