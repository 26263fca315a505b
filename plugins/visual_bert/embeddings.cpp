// SPDX-License-Identifier: BSD-3-Clause
#include "embeddings.h"

#include "pergola/error.h"

#include <torch/types.h>

namespace pergola::visual_bert {
namespace {

// The mean of the positions of the words that each region is aligned with, 0 for none: [B, R, D].
at::Tensor aligned_positions(const at::Tensor& positions_PD, const at::Tensor& alignment_BRK) {
  const at::Tensor given_BRK = alignment_BRK.ne(-1);
  const at::Tensor words_BRK = alignment_BRK.masked_fill(given_BRK.logical_not(), 0);
  const at::Tensor sums_BRD =
      (at::embedding(positions_PD, words_BRK) * given_BRK.unsqueeze(-1)).sum(2);
  return sums_BRD / given_BRK.sum(2, /*keepdim=*/true).clamp_min(1);
}

}  // namespace

VisualBertEmbeddings::VisualBertEmbeddings(const VisualBertConfig& config)
    : BertEmbeddings(config.bert) {
  const std::int64_t width = config.bert.hidden_size;
  token_type_embeddings_visual_ = register_module(
      "token_type_embeddings_visual", torch::nn::Embedding(config.bert.type_vocab_size, width));
  position_embeddings_visual_ =
      register_module("position_embeddings_visual",
                      torch::nn::Embedding(config.bert.max_position_embeddings, width));
  projection_ =
      register_module("projection", torch::nn::Linear(config.visual_embedding_dim, width));
}

void VisualBertEmbeddings::initialize_visual_from_text() {
  const torch::NoGradGuard no_grad;
  token_type_embeddings_visual_->weight.copy_(type_weight());
  position_embeddings_visual_->weight.copy_(position_weight());
}

at::Tensor VisualBertEmbeddings::embed_regions(const at::Tensor& regions_BRF,
                                               const at::Tensor& alignment_BRK) {
  // MMF gives every region type 0 and, as its own, position 0.
  const at::Tensor place_D = token_type_embeddings_visual_->weight.select(0, 0) +
                             position_embeddings_visual_->weight.select(0, 0);
  const at::Tensor sum_BRD = projection_->forward(regions_BRF) + place_D;
  if (!alignment_BRK.defined()) return sum_BRD;
  const bool fits = alignment_BRK.dim() == 3 &&
                    alignment_BRK.sizes().slice(0, 2) == regions_BRF.sizes().slice(0, 2);
  if (!fits) {
    throw Error(ErrorKind::kData, "image_text_alignment has the shape ", alignment_BRK.sizes(),
                " and the regions ", regions_BRF.sizes(),
                "; expected [batch, regions, words] for the same batch and regions");
  }
  return sum_BRD + aligned_positions(position_weight(), alignment_BRK);
}

at::Tensor VisualBertEmbeddings::forward(const at::Tensor& ids_BL, const at::Tensor& types_BL,
                                         const at::Tensor& regions_BRF,
                                         const at::Tensor& alignment_BRK) {
  return finish(
      at::cat({sum(ids_BL, types_BL), embed_regions(regions_BRF, alignment_BRK)}, /*dim=*/1));
}

}  // namespace pergola::visual_bert
