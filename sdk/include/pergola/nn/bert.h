// SPDX-License-Identifier: BSD-3-Clause
// BERT in parts (Devlin et al., "BERT", 2019), with the state-dict names of Hugging Face's, so that
// its weights load into any model that is made of them. Post-norm: each half of a layer is
// LayerNorm(x + dropout(f(x))). Modules own their weights; used on the training thread.
// Legend: B = batch, T = tokens, N = tokens without padding, D = hidden_size, V = vocabulary.
#pragma once

#include "pergola/config.h"
#include "pergola/nn/attention.h"
#include "pergola/optimizer.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pergola::nn {

enum class Activation { kGelu, kGeluTanh, kRelu, kTanh };  // kGelu: with erf

// The numbers of a BERT; those of bert-base-uncased by default.
struct PERGOLA_API BertConfig {
  std::int64_t vocab_size = 30522;
  std::int64_t hidden_size = 768;
  std::int64_t num_hidden_layers = 12;
  std::int64_t num_attention_heads = 12;
  std::int64_t intermediate_size = 3072;
  Activation hidden_act = Activation::kGelu;
  double hidden_dropout_prob = 0.1;
  double attention_probs_dropout_prob = 0.1;
  std::int64_t max_position_embeddings = 512;
  std::int64_t type_vocab_size = 2;
  double layer_norm_eps = 1e-12;
  double initializer_range = 0.02;
  AttentionKind attention = AttentionKind::kSdpa;

  // The keys that parse() reads: the names above, hidden_act as "gelu", "gelu_new", "relu" or
  // "tanh", attention as "sdpa", "plain" or "packed"; and bert_model_name, text_vocab_size.
  [[nodiscard]] static const std::vector<std::string>& keys();
  // The numbers of the model that bert_model_name names, "bert-base-uncased" (the default) or
  // "bert-large-uncased", with those that `config` sets; a size of 0 is not set. A vocab_size that
  // is not set is text_vocab_size, which the data set gives. Throws Error{kConfig} for a number out
  // of bounds, a vocabulary that nobody gives or that is less than the data set's, and heads that
  // do not divide the width.  [main-thread]
  [[nodiscard]] static BertConfig parse(const Config& config);
};

[[nodiscard]] PERGOLA_API at::Tensor activate(Activation activation, const at::Tensor& x);

// Draws every Linear's and Embedding's weight below `module` from N(0, std^2), sets biases to 0 and
// LayerNorms to the identity.  [main-thread]
PERGOLA_API void init_bert_weights(torch::nn::Module& module, double std);

// Word + position + type, then LayerNorm and dropout.
class PERGOLA_API BertEmbeddings : public torch::nn::Module {
 public:
  explicit BertEmbeddings(const BertConfig& config);

  // The sum alone: ids and types int64 [B, T], types undefined: all 0. → [B, T, D].
  // Throws Error{kData} for other shapes, or more tokens than there are positions.
  [[nodiscard]] at::Tensor sum(const at::Tensor& ids_BT, const at::Tensor& types_BT) const;
  // LayerNorm and dropout of such sums: [B, T, D].
  [[nodiscard]] at::Tensor finish(const at::Tensor& sum_BTD);
  [[nodiscard]] at::Tensor forward(const at::Tensor& ids_BT, const at::Tensor& types_BT) {
    return finish(sum(ids_BT, types_BT));
  }

  // The same of tokens without their padding: of each the sum of a row of the words, one of the
  // positions, one of the types and one of `table` [*, D], then LayerNorm and dropout. All int64
  // [N], -1 for none. → [N, D]
  struct Rows {
    at::Tensor words_N, positions_N, types_N, table_N;
  };
  [[nodiscard]] at::Tensor forward_rows(const Rows& rows, const at::Tensor& table);
  // Throws what sum() throws.
  void check(const at::Tensor& ids_BT, const at::Tensor& types_BT) const;

  // The tables [V, D], [positions, D], [types, D].
  [[nodiscard]] const at::Tensor& word_weight() const { return word_embeddings_->weight; }
  [[nodiscard]] const at::Tensor& position_weight() const { return position_embeddings_->weight; }
  [[nodiscard]] const at::Tensor& type_weight() const { return token_type_embeddings_->weight; }

 private:
  double dropout_;
  torch::nn::Embedding word_embeddings_{nullptr}, position_embeddings_{nullptr};
  torch::nn::Embedding token_type_embeddings_{nullptr};
  torch::nn::LayerNorm layer_norm_{nullptr};
  at::Tensor position_ids_;  // [1, positions], a buffer that older weights have
};

// What the layers of an encoder saw on the way, for whoever asks.
struct BertTrace {
  std::vector<at::Tensor> hidden_states;  // the input and each layer's output, [B, T, D]
  std::vector<at::Tensor> attentions;     // of each layer, [B, heads, T, T]; AttentionKind::kPlain
};

class PERGOLA_API BertLayer : public torch::nn::Module {
 public:
  explicit BertLayer(const BertConfig& config);

  // [B, T, D], or [N, D] with AttentionKind::kPacked, to the same. `weights`: as in attention().
  [[nodiscard]] at::Tensor forward(const at::Tensor& hidden, const TokenMask& mask,
                                   at::Tensor* weights = nullptr);

 private:
  [[nodiscard]] at::Tensor attend(const at::Tensor& hidden, const TokenMask& mask,
                                  at::Tensor* weights);
  [[nodiscard]] at::Tensor feed_forward(const at::Tensor& x);

  const BertConfig config_;
  torch::nn::Linear query_{nullptr}, key_{nullptr}, value_{nullptr};
  torch::nn::Linear attention_dense_{nullptr}, intermediate_dense_{nullptr}, dense_{nullptr};
  torch::nn::LayerNorm attention_norm_{nullptr}, norm_{nullptr};
};

class PERGOLA_API BertEncoder : public torch::nn::Module {
 public:
  explicit BertEncoder(const BertConfig& config);

  // [B, T, D] → [B, T, D]; what stands in places without a token means nothing. `trace`, unless
  // null, receives what happened on the way.
  [[nodiscard]] at::Tensor forward(const at::Tensor& hidden_BTD, const TokenMask& mask,
                                   BertTrace* trace = nullptr);
  // The same without padding, on either side: [N, D] → [N, D]. What the trace has is padded.
  // REQUIRES: attention is kPacked.
  [[nodiscard]] at::Tensor forward_packed(const at::Tensor& hidden_ND, const TokenMask& mask,
                                          BertTrace* trace = nullptr);

  // Each layer keeps its input alone, and is computed again in the backward pass (recompute.h). Off
  // at first. A trace with attentions needs the layers as they were, so they are kept then.
  void set_recompute(bool recompute) noexcept { recompute_ = recompute; }

 private:
  // Through all layers, as these have it: [B, T, D], or [N, D].
  [[nodiscard]] at::Tensor run(at::Tensor hidden, const TokenMask& mask, BertTrace* trace);

  AttentionKind kind_;
  bool recompute_ = false;
  std::vector<std::shared_ptr<BertLayer>> layers_;  // shared: torch::nn children are
};

// tanh(dense(first token)): [B, T, D] → [B, D].
class PERGOLA_API BertPooler : public torch::nn::Module {
 public:
  explicit BertPooler(const BertConfig& config);
  [[nodiscard]] at::Tensor forward(const at::Tensor& hidden_BTD);

 private:
  torch::nn::Linear dense_{nullptr};
};

// LayerNorm(activation(dense(x))): [..., width] → [..., width].
class PERGOLA_API BertHeadTransform : public torch::nn::Module {
 public:
  // `width`: hidden_size, or another.
  BertHeadTransform(const BertConfig& config, std::int64_t width);
  [[nodiscard]] at::Tensor forward(const at::Tensor& x);

 private:
  Activation activation_;
  torch::nn::Linear dense_{nullptr};
  torch::nn::LayerNorm layer_norm_{nullptr};
};

// Masked language modelling: [..., D] → [..., V]. Its matrix is that of the word embeddings.
class PERGOLA_API BertLmHead : public torch::nn::Module {
 public:
  // `word_weight`: BertEmbeddings::word_weight(); shared, as `decoder.weight`.
  BertLmHead(const BertConfig& config, const at::Tensor& word_weight);
  [[nodiscard]] at::Tensor forward(const at::Tensor& hidden);

 private:
  std::shared_ptr<BertHeadTransform> transform_;
  at::Tensor weight_VD_, bias_V_;
};

// The trained parameters of `model` in groups: biases and LayerNorms have no weight decay, others
// that of `optimizer.params`, or MMF's 0.01 where it has none (get_bert_configured_parameters).
// `lr_factor(name)` times the common rate is a parameter's own. Groups of none are left out.
// [main-thread]
[[nodiscard]] PERGOLA_API std::vector<ParameterGroup> bert_parameter_groups(
    const torch::nn::Module& model, const Config& optimizer_config,
    const std::function<double(const std::string&)>& lr_factor);

}  // namespace pergola::nn
