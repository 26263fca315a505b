// SPDX-License-Identifier: BSD-3-Clause
#include "heads.h"

#include "pergola/nn/module.h"

#include <torch/types.h>

namespace pergola::visual_bert {

AnswerHead::AnswerHead(torch::nn::Module& parent, const VisualBertConfig& config,
                       std::int64_t width) {
  const bool mlp = config.classifier == Classifier::kMlp;
  if (mlp) {
    transform_ = nn::nest(parent, "classifier.0",
                          std::make_shared<nn::BertHeadTransform>(config.bert, width));
  }
  linear_ = nn::nest(parent, mlp ? "classifier.1" : "classifier",
                     torch::nn::Linear(width, config.num_labels));
}

at::Tensor AnswerHead::forward(const at::Tensor& pooled_BD) {
  return linear_->forward(transform_ ? transform_->forward(pooled_BD) : pooled_BD);
}

PretrainingHeads::PretrainingHeads(const nn::BertConfig& config, const at::Tensor& word_weight)
    : predictions_(
          register_module("predictions", std::make_shared<nn::BertLmHead>(config, word_weight))) {
  register_module("seq_relationship", torch::nn::Linear(config.hidden_size, 2));
}

at::Tensor PretrainingHeads::forward(const at::Tensor& hidden_BLD) {
  return predictions_->forward(hidden_BLD);
}

at::Tensor masked_lm_loss(const at::Tensor& logits_BLV, const at::Tensor& labels_BL) {
  constexpr std::int64_t kUnmasked = -1;
  const at::Tensor sum = at::cross_entropy_loss(logits_BLV.flatten(0, 1), labels_BL.flatten(),
                                                /*weight=*/{}, at::Reduction::Sum, kUnmasked);
  return sum / labels_BL.ne(kUnmasked).sum().clamp_min(1);
}

}  // namespace pergola::visual_bert
