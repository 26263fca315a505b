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

// [D]. MMF gives every region type 0 and, as its own, position 0.
at::Tensor VisualBertEmbeddings::place_of_regions() const {
  return token_type_embeddings_visual_->weight.select(0, 0) +
         position_embeddings_visual_->weight.select(0, 0);
}

at::Tensor VisualBertEmbeddings::embed_regions(const at::Tensor& regions_BRF,
                                               const at::Tensor& alignment_BRK) {
  const at::Tensor sum_BRD = projection_->forward(regions_BRF) + place_of_regions();
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

at::Tensor VisualBertEmbeddings::forward_packed(const at::Tensor& ids_BL,
                                                const at::Tensor& types_BL,
                                                const at::Tensor& regions_BRF,
                                                const at::Tensor& alignment_BRK,
                                                const nn::TokenMask& mask) {
  check(ids_BL, types_BL);
  const std::int64_t samples = ids_BL.size(0);
  const std::int64_t length = ids_BL.size(1);
  const std::int64_t regions = regions_BRF.size(1);
  const at::TensorOptions options = ids_BL.options();
  const at::Tensor none_BL = at::full({samples, length}, -1, options);
  const at::Tensor none_BR = at::full({samples, regions}, -1, options);
  const auto of_words = [&](const at::Tensor& rows) {
    return at::cat({rows.expand({samples, length}), none_BR}, /*dim=*/1);
  };
  const at::Tensor types = types_BL.defined() ? types_BL : at::zeros({1, length}, options);
  const at::Tensor regions_BR = at::arange(samples * regions, options).view({samples, regions});
  const std::vector<at::Tensor> rows_N =
      mask.pack_rows({of_words(ids_BL), of_words(at::arange(length, options)), of_words(types),
                      at::cat({none_BL, regions_BR}, /*dim=*/1)});
  // Their place is a part of the bias, which costs no pass over them.
  const at::Tensor regions_BRD =
      alignment_BRK.defined()
          ? embed_regions(regions_BRF, alignment_BRK)
          : at::linear(regions_BRF, projection_->weight, projection_->bias + place_of_regions());
  return forward_rows({rows_N[0], rows_N[1], rows_N[2], rows_N[3]}, regions_BRD.flatten(0, 1));
}

}  // namespace pergola::visual_bert
