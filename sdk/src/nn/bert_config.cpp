// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/error.h"
#include "pergola/nn/bert.h"

namespace pergola::nn {
namespace {

constexpr std::int64_t kMaxSize = 1 << 20;
constexpr std::int64_t kMaxVocabulary = 1 << 27;  // as Config::get_fact

// The numbers of a model with that name.
BertConfig sizes_of(const std::string& name) {
  BertConfig bert;
  if (name == "bert-large-uncased") {
    bert.hidden_size = 1024;
    bert.num_hidden_layers = 24;
    bert.num_attention_heads = 16;
    bert.intermediate_size = 4096;
  }
  return bert;
}

Activation parse_activation(const Config& config) {
  const std::string name =
      config.get_choice("hidden_act", "gelu", {"gelu", "gelu_new", "relu", "tanh"});
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_new") return Activation::kGeluTanh;
  return name == "relu" ? Activation::kRelu : Activation::kTanh;
}

AttentionKind parse_attention(const Config& config) {
  const std::string name = config.get_choice("attention", "sdpa", {"sdpa", "plain", "packed"});
  if (name == "plain") return AttentionKind::kPlain;
  return name == "packed" ? AttentionKind::kPacked : AttentionKind::kSdpa;
}

}  // namespace

const std::vector<std::string>& BertConfig::keys() {
  static const std::vector<std::string> names = {"bert_model_name",
                                                 "text_vocab_size",
                                                 "vocab_size",
                                                 "hidden_size",
                                                 "num_hidden_layers",
                                                 "num_attention_heads",
                                                 "intermediate_size",
                                                 "hidden_act",
                                                 "hidden_dropout_prob",
                                                 "attention_probs_dropout_prob",
                                                 "max_position_embeddings",
                                                 "type_vocab_size",
                                                 "layer_norm_eps",
                                                 "initializer_range",
                                                 "attention"};
  return names;
}

BertConfig BertConfig::parse(const Config& config) {
  BertConfig bert = sizes_of(config.get_choice("bert_model_name", "bert-base-uncased",
                                               {"bert-base-uncased", "bert-large-uncased"}));
  const auto size = [&](const char* key, std::int64_t& number, std::int64_t most) {
    const std::int64_t given = config.get_integer(key, number, 0, most);
    if (given != 0) number = given;
  };
  const auto share = [&](const char* key, double& number) {
    number = config.get_float(key, number, 0.0, 1.0);
  };
  bert.vocab_size = config.get_integer("vocab_size", 0, 0, kMaxVocabulary);
  if (bert.vocab_size == 0) bert.vocab_size = config.get_fact("text_vocab_size", "words");
  const std::int64_t words = config.get<std::int64_t>("text_vocab_size", 0);  // 0: nobody knows
  if (bert.vocab_size < words) {
    throw config.error("vocab_size", concat("is less than the ", words,
                                            " words of the data set; leave it out, or take the "
                                            "tokenizer's vocab_file that fits the weights"));
  }
  size("hidden_size", bert.hidden_size, kMaxSize);
  size("num_hidden_layers", bert.num_hidden_layers, 1024);
  size("num_attention_heads", bert.num_attention_heads, kMaxSize);
  size("intermediate_size", bert.intermediate_size, kMaxSize);
  size("max_position_embeddings", bert.max_position_embeddings, kMaxSize);
  size("type_vocab_size", bert.type_vocab_size, kMaxSize);
  share("hidden_dropout_prob", bert.hidden_dropout_prob);
  share("attention_probs_dropout_prob", bert.attention_probs_dropout_prob);
  share("layer_norm_eps", bert.layer_norm_eps);
  share("initializer_range", bert.initializer_range);
  bert.hidden_act = parse_activation(config);
  bert.attention = parse_attention(config);
  if (bert.hidden_size % bert.num_attention_heads != 0) {
    throw config.error("num_attention_heads",
                       concat("does not divide hidden_size = ", bert.hidden_size,
                              "; each head has an equal part of it"));
  }
  return bert;
}

}  // namespace pergola::nn
