// SPDX-License-Identifier: BSD-3-Clause
#include "image_attention.h"

#include "pergola/ops.h"

#include <torch/types.h>

namespace pergola::pythia {

TopDownAttention::TopDownAttention(std::int64_t image_dim, std::int64_t text_dim,
                                   const ImageAttentionConfig& config)
    : normalization_(config.normalization),
      combination_layer_(
          nn::nest(*this, "combination_layer.module",
                   std::make_shared<ElementMultiply>(image_dim, text_dim, config.combine))),
      transform_(nn::nest(
          *this, "transform.module.lc",
          std::make_shared<WeightNormLinear>(config.combine.hidden_dim, config.glimpses))) {}

at::Tensor TopDownAttention::weights(const Regions& regions, const at::Tensor& text_BQ) const {
  constexpr double kEpsilon = 1e-8;
  const at::Tensor logits_BRA =
      combination_layer_->project(regions.features_BRD, text_BQ, *transform_);
  const bool softmax = normalization_ == Normalization::kSoftmax;
  const at::Tensor weights_BRA = softmax ? logits_BRA.softmax(/*dim=*/1) : logits_BRA.sigmoid();
  if (!regions.counts_B.defined()) {
    return weights_BRA;
  }
  const at::Tensor place_R = at::arange(logits_BRA.size(1), regions.counts_B.options());
  const at::Tensor padding_BR1 = place_R.ge(regions.counts_B.unsqueeze(1)).unsqueeze(2);
  const at::Tensor masked_BRA = weights_BRA.masked_fill(padding_BR1, 0.0);
  if (!softmax) {
    return masked_BRA;
  }
  // MMF masks after the softmax and divides again; released weights were trained with that.
  const at::Tensor sum_B1A = masked_BRA.sum(/*dim=*/1, /*keepdim=*/true);
  return masked_BRA / (sum_B1A + sum_B1A.eq(0.0) + kEpsilon);
}

at::Tensor TopDownAttention::forward(const Regions& regions, const at::Tensor& text_BQ) const {
  return ops::sum_rows(weights(regions, text_BQ), regions.features_BRD).flatten(/*start_dim=*/1);
}

}  // namespace pergola::pythia
