// SPDX-License-Identifier: BSD-3-Clause
// What makes one vector of a text. Modules own their weights; used on the training thread.
// Legend: B = batch, L = words, D = width.
#pragma once

#include "fusions_config.h"
#include "pergola/nn/bert_heads.h"

#include <memory>

namespace pergola::fusions {

class TextEncoder : public torch::nn::Module {
 public:
  // Reads the words as nn::read_bert_words does. → [B, D]
  [[nodiscard]] virtual at::Tensor forward(const SampleList& batch) = 0;
  // As BaseModel's.
  [[nodiscard]] virtual bool enable_recompute() { return false; }
};

// BERT's pooled output. State-dict names as Hugging Face's BertModel.
class BertText final : public TextEncoder {
 public:
  explicit BertText(const nn::BertConfig& config);
  [[nodiscard]] at::Tensor forward(const SampleList& batch) override;
  [[nodiscard]] bool enable_recompute() override;

 private:
  std::shared_ptr<nn::BertEmbeddings> embeddings_;
  std::shared_ptr<nn::BertEncoder> encoder_;
  std::shared_ptr<nn::BertPooler> pooler_;
};

// The sum, or product, of the words' vectors; padding is left out.
class BagOfWords final : public TextEncoder {
 public:
  explicit BagOfWords(const BagOfWordsConfig& config);
  // Throws Error{kData} for words of another shape or type than int64 [B, L].
  [[nodiscard]] at::Tensor forward(const SampleList& batch) override;

 private:
  WordOperator operator_;
  torch::nn::Embedding vectors_{nullptr};
};

}  // namespace pergola::fusions
