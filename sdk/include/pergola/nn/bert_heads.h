// SPDX-License-Identifier: BSD-3-Clause
// What models around a BERT read and make of it: the words of a batch, answers, and predictions of
// masked words. Modules own their weights; used on the training thread.
// Legend: B = batch, L = words, D = width, C = answers, V = vocabulary.
#pragma once

#include "pergola/nn/bert.h"
#include "pergola/sample_list.h"

#include <memory>

namespace pergola::nn {

// The words of a batch. Types may be undefined: all 0.
struct BertWords {
  at::Tensor ids, mask, types;  // [B, L]; ids and types int64, mask not 0 where a word is
};

// [B, k, ...] of `dims` dimensions and one more as [B * k, ...]; else `x` itself.
[[nodiscard]] PERGOLA_API at::Tensor without_choices(const at::Tensor& x, std::int64_t dims);

// `input_ids` with `input_mask` and `segment_ids` (both may be missing), all [B, L], or [B, k, L],
// which counts as B * k samples; without them `text` [B, L] with `text_len` [B].
// Throws Error{kData} when they do not fit together.
[[nodiscard]] PERGOLA_API BertWords read_bert_words(const SampleList& batch);

enum class AnswerHeadKind {
  kMlp,     // MMF's: dense, activation, LayerNorm, linear
  kLinear,  // Hugging Face's: one linear layer
};

// Registers below `parent`, as `classifier`, MMF's two layers (`classifier.0`: BertHeadTransform;
// `classifier.1`: linear), or with kLinear one.
class PERGOLA_API BertAnswerHead {
 public:
  BertAnswerHead() = default;
  // `width`: of what it is given. `num_labels`: C.
  BertAnswerHead(torch::nn::Module& parent, const BertConfig& config, AnswerHeadKind kind,
                 std::int64_t width, std::int64_t num_labels);

  // [B, D] → [B, C]
  [[nodiscard]] at::Tensor forward(const at::Tensor& pooled_BD);

 private:
  std::shared_ptr<BertHeadTransform> transform_;  // null with kLinear
  torch::nn::Linear linear_{nullptr};
};

// BERT's two pretraining heads, of which MMF's models use one: predictions of masked words. The
// other, `seq_relationship`, is there for its weights.
class PERGOLA_API BertPretrainingHeads : public torch::nn::Module {
 public:
  // `word_weight`: [V, D], shared with the embeddings.
  BertPretrainingHeads(const BertConfig& config, const at::Tensor& word_weight);

  // [B, L, D] → [B, L, V]
  [[nodiscard]] at::Tensor forward(const at::Tensor& hidden_BLD);

 private:
  std::shared_ptr<BertLmHead> predictions_;
};

// Mean cross entropy over the words whose label is not -1; 0 where there is none, so that a batch
// without a masked word does not end a run (in MMF it is NaN).
//   logits [B, L, V], labels int64 [B, L]
[[nodiscard]] PERGOLA_API at::Tensor masked_lm_loss(const at::Tensor& logits_BLV,
                                                    const at::Tensor& labels_BL);

}  // namespace pergola::nn
