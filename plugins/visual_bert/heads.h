// SPDX-License-Identifier: BSD-3-Clause
// What makes VisualBERT's answers of its encoder's output. Modules own their weights; used on one
// thread.
// Legend: B = batch, L = words, D = width, C = answers, V = vocabulary.
#pragma once

#include "visual_bert_config.h"

#include <memory>

namespace pergola::visual_bert {

// Registers below `parent`, as `classifier`, MMF's two layers (`classifier.0`: dense, GELU,
// LayerNorm; `classifier.1`: linear), or with Classifier::kLinear one.
class AnswerHead {
 public:
  AnswerHead() = default;
  // `width`: of what it is given.
  AnswerHead(torch::nn::Module& parent, const VisualBertConfig& config, std::int64_t width);

  // [B, D] → [B, C]
  [[nodiscard]] at::Tensor forward(const at::Tensor& pooled_BD);

 private:
  std::shared_ptr<nn::BertHeadTransform> transform_;  // null with Classifier::kLinear
  torch::nn::Linear linear_{nullptr};
};

// BERT's two pretraining heads, of which MMF uses one: predictions of masked words. The other,
// `seq_relationship`, is there for its weights.
class PretrainingHeads : public torch::nn::Module {
 public:
  // `word_weight`: [V, D], shared with the embeddings.
  PretrainingHeads(const nn::BertConfig& config, const at::Tensor& word_weight);

  // [B, L, D] → [B, L, V]
  [[nodiscard]] at::Tensor forward(const at::Tensor& hidden_BLD);

 private:
  std::shared_ptr<nn::BertLmHead> predictions_;
};

// Mean cross entropy over the words whose label is not -1; 0 where there is none, so that a batch
// without a masked word does not end a run (in MMF it is NaN).
//   logits [B, L, V], labels int64 [B, L]
[[nodiscard]] at::Tensor masked_lm_loss(const at::Tensor& logits_BLV, const at::Tensor& labels_BL);

}  // namespace pergola::visual_bert
