// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/bert.h"

#include "pergola/error.h"
#include "pergola/nn/module.h"
#include "pergola/nn/recompute.h"
#include "pergola/ops.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <torch/nn/init.h>

#include <map>
#include <set>
#include <utility>

namespace pergola::nn {
namespace {

torch::nn::LayerNorm layer_norm(std::int64_t width, const BertConfig& config) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(config.layer_norm_eps));
}

at::Tensor project(const torch::nn::Linear& linear, const at::Tensor& x) {
  return ops::projections(x, {linear->weight}, {linear->bias}).front();
}

}  // namespace

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kTanh:
      return x.tanh();
    case Activation::kRelu:
      break;
  }
  return x.relu();
}

void init_bert_weights(torch::nn::Module& module, double std) {
  const torch::NoGradGuard no_grad;
  module.apply([std](torch::nn::Module& part) {
    if (auto* linear = part.as<torch::nn::LinearImpl>()) {
      linear->weight.normal_(0, std);
      if (linear->bias.defined()) linear->bias.zero_();
    } else if (auto* embedding = part.as<torch::nn::EmbeddingImpl>()) {
      embedding->weight.normal_(0, std);
      const auto padding = embedding->options.padding_idx();
      if (padding) embedding->weight.select(0, *padding).zero_();
    } else if (auto* norm = part.as<torch::nn::LayerNormImpl>()) {
      norm->weight.fill_(1);
      norm->bias.zero_();
    }
  });
}

BertEmbeddings::BertEmbeddings(const BertConfig& config) : dropout_(config.hidden_dropout_prob) {
  const std::int64_t width = config.hidden_size;
  word_embeddings_ = register_module(
      "word_embeddings",
      torch::nn::Embedding(torch::nn::EmbeddingOptions(config.vocab_size, width).padding_idx(0)));
  position_embeddings_ = register_module(
      "position_embeddings", torch::nn::Embedding(config.max_position_embeddings, width));
  token_type_embeddings_ =
      register_module("token_type_embeddings", torch::nn::Embedding(config.type_vocab_size, width));
  layer_norm_ = register_module("LayerNorm", layer_norm(width, config));
  position_ids_ = register_buffer(
      "position_ids", at::arange(config.max_position_embeddings, at::kLong).unsqueeze(0));
}

void BertEmbeddings::check(const at::Tensor& ids_BT, const at::Tensor& types_BT) const {
  const std::int64_t most = position_ids_.size(1);
  const bool types_fit = !types_BT.defined() || types_BT.sizes() == ids_BT.sizes();
  if (ids_BT.dim() != 2 || ids_BT.scalar_type() != at::kLong || !types_fit) {
    throw Error(ErrorKind::kData, "the tokens have the shape ", ids_BT.sizes(), " and the type ",
                ids_BT.scalar_type(), types_fit ? "" : ", their segments another shape",
                "; expected int64 [batch, tokens] for both");
  }
  if (ids_BT.size(1) > most) {
    throw Error(ErrorKind::kData, "there are ", ids_BT.size(1), " tokens in a text, but ", most,
                " positions; set the processor's max_seq_length to at most that, or "
                "max_position_embeddings to more");
  }
}

at::Tensor BertEmbeddings::sum(const at::Tensor& ids_BT, const at::Tensor& types_BT) const {
  check(ids_BT, types_BT);
  const at::Tensor words_BTD = at::embedding(word_weight(), ids_BT, /*padding_idx=*/0);
  const at::Tensor positions_TD = position_weight().narrow(0, 0, ids_BT.size(1));
  if (!types_BT.defined()) return words_BTD + positions_TD + type_weight().select(0, 0);
  return words_BTD + positions_TD + at::embedding(type_weight(), types_BT);
}

at::Tensor BertEmbeddings::finish(const at::Tensor& sum_BTD) {
  return at::dropout(layer_norm_->forward(sum_BTD), dropout_, is_training());
}

at::Tensor BertEmbeddings::forward_rows(const Rows& rows, const at::Tensor& table) {
  // Word 0 is the padding's, which learns nothing, as at::embedding has it.
  const at::Tensor is_padding_N = rows.words_N.eq(0);
  std::vector<at::Tensor> tables = {word_weight(), word_weight().narrow(0, 0, 1).detach(),
                                    position_weight(), type_weight()};
  std::vector<at::Tensor> rows_of = {rows.words_N.masked_fill(is_padding_N, -1),
                                     is_padding_N.to(at::kLong) - 1, rows.positions_N,
                                     rows.types_N};
  if (table.size(0) > 0) {
    tables.push_back(table);
    rows_of.push_back(rows.table_N);
  }
  return ops::embedding_layer_norm(tables, rows_of, layer_norm_->weight, layer_norm_->bias,
                                   is_training() ? dropout_ : 0, layer_norm_->options.eps());
}

BertLayer::BertLayer(const BertConfig& config) : config_(config) {
  const std::int64_t width = config.hidden_size;
  const auto linear = [&](const char* path, std::int64_t in, std::int64_t out) {
    return nest(*this, path, torch::nn::Linear(in, out));
  };
  query_ = linear("attention.self.query", width, width);
  key_ = linear("attention.self.key", width, width);
  value_ = linear("attention.self.value", width, width);
  attention_dense_ = linear("attention.output.dense", width, width);
  attention_norm_ = nest(*this, "attention.output.LayerNorm", layer_norm(width, config));
  intermediate_dense_ = linear("intermediate.dense", width, config.intermediate_size);
  dense_ = linear("output.dense", config.intermediate_size, width);
  norm_ = nest(*this, "output.LayerNorm", layer_norm(width, config));
}

at::Tensor BertLayer::attend(const at::Tensor& hidden, const TokenMask& mask, at::Tensor* weights) {
  const bool packed = config_.attention == AttentionKind::kPacked;
  const auto heads = [&](const at::Tensor& projected) {
    const at::Tensor x = projected.unflatten(
        -1, {config_.num_attention_heads, config_.hidden_size / config_.num_attention_heads});
    return packed ? x : x.transpose(1, 2);
  };
  const std::vector<at::Tensor> qkv =
      ops::projections(hidden, {query_->weight, key_->weight, value_->weight},
                       {query_->bias, key_->bias, value_->bias});
  const double dropout = is_training() ? config_.attention_probs_dropout_prob : 0;
  const at::Tensor result = attention(config_.attention, heads(qkv[0]), heads(qkv[1]),
                                      heads(qkv[2]), mask, dropout, weights);
  return project(attention_dense_, (packed ? result : result.transpose(1, 2)).flatten(-2));
}

at::Tensor BertLayer::feed_forward(const at::Tensor& x) {
  const bool gelu = config_.hidden_act == Activation::kGelu;
  if (gelu || config_.hidden_act == Activation::kGeluTanh) {
    return ops::feed_forward(x, intermediate_dense_->weight, intermediate_dense_->bias,
                             dense_->weight, dense_->bias,
                             gelu ? ops::Gelu::kErf : ops::Gelu::kTanh);
  }
  return project(dense_, activate(config_.hidden_act, project(intermediate_dense_, x)));
}

at::Tensor BertLayer::forward(const at::Tensor& hidden, const TokenMask& mask,
                              at::Tensor* weights) {
  const double dropout = is_training() ? config_.hidden_dropout_prob : 0;
  const auto add_and_normalize = [&](const at::Tensor& x, const at::Tensor& residual,
                                     const torch::nn::LayerNorm& norm) {
    return ops::dropout_add_layer_norm(x, residual, norm->weight, norm->bias, dropout,
                                       config_.layer_norm_eps);
  };
  const at::Tensor attended =
      add_and_normalize(attend(hidden, mask, weights), hidden, attention_norm_);
  return add_and_normalize(feed_forward(attended), attended, norm_);
}

BertEncoder::BertEncoder(const BertConfig& config) : kind_(config.attention) {
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    layers_.push_back(nest(*this, concat("layer.", i), std::make_shared<BertLayer>(config)));
  }
}

at::Tensor BertEncoder::run(at::Tensor hidden, const TokenMask& mask, BertTrace* trace) {
  const bool packed = kind_ == AttentionKind::kPacked;
  if (packed) static_cast<void>(mask.offsets());  // once, and not in each copy of the mask below
  for (const auto& layer : layers_) {
    RECORD_USER_SCOPE("bert layer");  // a range in traces
    at::Tensor weights;
    const bool wanted = trace != nullptr && kind_ == AttentionKind::kPlain;
    if (recompute_ && !wanted) {
      hidden = recompute(
          [layer, mask](const at::Tensor& input) { return layer->forward(input, mask); }, hidden);
    } else {
      hidden = layer->forward(hidden, mask, wanted ? &weights : nullptr);
    }
    if (trace == nullptr) continue;
    trace->hidden_states.push_back(packed ? mask.unpack(hidden) : hidden);
    if (wanted) trace->attentions.push_back(weights);
  }
  return hidden;
}

at::Tensor BertEncoder::forward(const at::Tensor& hidden_BTD, const TokenMask& mask,
                                BertTrace* trace) {
  if (trace != nullptr) trace->hidden_states = {hidden_BTD};
  if (kind_ != AttentionKind::kPacked) return run(hidden_BTD, mask, trace);
  return mask.unpack(run(mask.pack(hidden_BTD), mask, trace));
}

at::Tensor BertEncoder::forward_packed(const at::Tensor& hidden_ND, const TokenMask& mask,
                                       BertTrace* trace) {
  PERGOLA_ASSERT(kind_ == AttentionKind::kPacked);
  if (trace != nullptr) trace->hidden_states = {mask.unpack(hidden_ND)};
  return run(hidden_ND, mask, trace);
}

BertPooler::BertPooler(const BertConfig& config)
    : dense_(register_module("dense", torch::nn::Linear(config.hidden_size, config.hidden_size))) {}

at::Tensor BertPooler::forward(const at::Tensor& hidden_BTD) {
  return dense_->forward(hidden_BTD.select(1, 0)).tanh();
}

BertHeadTransform::BertHeadTransform(const BertConfig& config, std::int64_t width)
    : activation_(config.hidden_act),
      dense_(register_module("dense", torch::nn::Linear(width, width))),
      layer_norm_(register_module("LayerNorm", layer_norm(width, config))) {}

at::Tensor BertHeadTransform::forward(const at::Tensor& x) {
  return layer_norm_->forward(activate(activation_, dense_->forward(x)));
}

BertLmHead::BertLmHead(const BertConfig& config, const at::Tensor& word_weight) {
  bias_V_ = register_parameter("bias", at::zeros({config.vocab_size}));
  transform_ =
      register_module("transform", std::make_shared<BertHeadTransform>(config, config.hidden_size));
  // Both names of each, as in the weights of others; one tensor behind the two.
  torch::nn::Module& decoder = child_level(*this, "decoder");
  weight_VD_ = decoder.register_parameter("weight", word_weight);
  decoder.register_parameter("bias", bias_V_);
}

at::Tensor BertLmHead::forward(const at::Tensor& hidden) {
  return at::linear(transform_->forward(hidden), weight_VD_, bias_V_);
}

std::vector<ParameterGroup> bert_parameter_groups(
    const torch::nn::Module& model, const Config& optimizer_config,
    const std::function<double(const std::string&)>& lr_factor) {
  const double decay = optimizer_config.get<double>("params.weight_decay", 0.01);
  std::map<std::pair<double, bool>, ParameterGroup> groups;  // by factor, and whether it decays
  std::set<const void*> seen;  // a tensor with two names is one parameter
  for (const auto& item : model.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    if (!seen.insert(item.value().unsafeGetTensorImpl()).second) continue;
    const std::string& name = item.key();
    const bool decays = !name.ends_with("bias") && name.find("LayerNorm") == std::string::npos;
    ParameterGroup& group = groups[{lr_factor(name), decays}];
    group.names.push_back(name);
    group.parameters.push_back(item.value());
  }
  std::vector<ParameterGroup> list;
  for (auto& [key, group] : groups) {
    const auto [factor, decays] = key;
    group.options["weight_decay"] = decays ? decay : 0.0;
    if (factor != 1) {
      group.options["lr"] = optimizer_config.get<double>("params.lr") * factor;
    }
    list.push_back(std::move(group));
  }
  return list;
}

}  // namespace pergola::nn
