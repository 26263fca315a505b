// SPDX-License-Identifier: BSD-3-Clause
#include "text_encoders.h"

#include "pergola/error.h"
#include "pergola/nn/module.h"

#include <torch/types.h>

namespace pergola::fusions {

BertText::BertText(const nn::BertConfig& config)
    : embeddings_(register_module("embeddings", std::make_shared<nn::BertEmbeddings>(config))),
      encoder_(register_module("encoder", std::make_shared<nn::BertEncoder>(config))),
      pooler_(register_module("pooler", std::make_shared<nn::BertPooler>(config))) {
  nn::init_bert_weights(*this, config.initializer_range);
}

at::Tensor BertText::forward(const SampleList& batch) {
  const nn::BertWords words = nn::read_bert_words(batch);
  const nn::TokenMask mask(words.mask, batch);
  return pooler_->forward(encoder_->forward(embeddings_->forward(words.ids, words.types), mask));
}

bool BertText::enable_recompute() {
  encoder_->set_recompute(true);
  return true;
}

// MMF's name: each of its three classes calls what it wraps `module`.
BagOfWords::BagOfWords(const BagOfWordsConfig& config)
    : operator_(config.word_operator),
      vectors_(nn::nest(*this, "module.module.module",
                        torch::nn::Embedding(config.text_vocab_size, config.text_hidden_size))) {}

at::Tensor BagOfWords::forward(const SampleList& batch) {
  const nn::BertWords words = nn::read_bert_words(batch);
  if (words.ids.dim() != 2 || words.ids.scalar_type() != at::kLong) {
    throw Error(ErrorKind::kData, "the words have the shape ", words.ids.sizes(), " and the type ",
                words.ids.scalar_type(), "; concat_bow expects int64 [batch, words]");
  }
  const bool sum = operator_ == WordOperator::kSum;
  const at::Tensor vectors_BLD =
      vectors_->forward(words.ids).masked_fill(words.mask.eq(0).unsqueeze(-1), sum ? 0.0 : 1.0);
  return sum ? vectors_BLD.sum(1) : vectors_BLD.prod(1);
}

}  // namespace pergola::fusions
