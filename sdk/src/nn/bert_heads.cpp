// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/bert_heads.h"

#include "pergola/error.h"
#include "pergola/nn/module.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>

namespace pergola::nn {

at::Tensor without_choices(const at::Tensor& x, std::int64_t dims) {
  return x.dim() == dims + 1 ? x.flatten(0, 1) : x;
}

BertWords read_bert_words(const SampleList& batch) {
  constexpr std::int64_t kDims = 2;
  if (!batch.has("input_ids")) {
    const at::Tensor& text_BL = batch.tensor("text");
    if (!batch.has("text_len")) return {text_BL, at::ones_like(text_BL), {}};
    const at::Tensor places_L = at::arange(text_BL.size(-1), text_BL.options());
    return {text_BL, places_L.lt(batch.tensor("text_len").unsqueeze(1)), {}};
  }
  BertWords words{without_choices(batch.tensor("input_ids"), kDims), {}, {}};
  words.mask = batch.has("input_mask") ? without_choices(batch.tensor("input_mask"), kDims)
                                       : at::ones_like(words.ids);
  if (batch.has("segment_ids")) {
    words.types = without_choices(batch.tensor("segment_ids"), kDims);
  }
  if (words.mask.sizes() != words.ids.sizes()) {
    throw Error(ErrorKind::kData, "input_ids has the shape ", words.ids.sizes(), " and input_mask ",
                words.mask.sizes(), "; expected one shape [batch, words]");
  }
  return words;
}

BertAnswerHead::BertAnswerHead(torch::nn::Module& parent, const BertConfig& config,
                               AnswerHeadKind kind, std::int64_t width, std::int64_t num_labels) {
  const bool mlp = kind == AnswerHeadKind::kMlp;
  if (mlp) {
    transform_ = nest(parent, "classifier.0", std::make_shared<BertHeadTransform>(config, width));
  }
  linear_ = nest(parent, mlp ? "classifier.1" : "classifier", torch::nn::Linear(width, num_labels));
}

at::Tensor BertAnswerHead::forward(const at::Tensor& pooled_BD) {
  return linear_->forward(transform_ ? transform_->forward(pooled_BD) : pooled_BD);
}

BertPretrainingHeads::BertPretrainingHeads(const BertConfig& config, const at::Tensor& word_weight)
    : predictions_(
          register_module("predictions", std::make_shared<BertLmHead>(config, word_weight))) {
  register_module("seq_relationship", torch::nn::Linear(config.hidden_size, 2));
}

at::Tensor BertPretrainingHeads::forward(const at::Tensor& hidden_BLD) {
  return predictions_->forward(hidden_BLD);
}

at::Tensor masked_lm_loss(const at::Tensor& logits_BLV, const at::Tensor& labels_BL) {
  constexpr std::int64_t kUnmasked = -1;
  return ops::cross_entropy(logits_BLV.flatten(0, 1), labels_BL.flatten(), kUnmasked,
                            ops::EmptyMean::kZero);
}

}  // namespace pergola::nn
