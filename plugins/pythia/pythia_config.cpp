// SPDX-License-Identifier: BSD-3-Clause
#include "pythia_config.h"

#include "pergola/suggest.h"

#include <algorithm>
#include <string>

namespace pergola::pythia {
namespace {

constexpr std::int64_t kMaxDim = 1 << 16;
constexpr std::int64_t kMaxLayers = 64;
constexpr std::int64_t kMaxKernel = 31;

// The params of a {type, params} table, after its type has been found among `choices`.
Config params_of(const TypedConfig& typed, const std::vector<std::string>& choices) {
  typed.options.allow_only({"type", "params"});
  if (std::find(choices.begin(), choices.end(), typed.type) == choices.end()) {
    throw Error(ErrorKind::kConfig, typed.where, " has type '", typed.type,
                "', which is not one of ", join(choices), did_you_mean(typed.type, choices));
  }
  return typed.params;
}

// The {type, params} tables of a list that must not be empty.
std::vector<TypedConfig> non_empty_list(const Config& config, const char* key) {
  std::vector<TypedConfig> list = config.typed_list(key);
  if (list.empty()) {
    throw config.error(key, "must list at least one {type = \"...\", params = {...}}");
  }
  return list;
}

TextAttentionConfig parse_text_attention(const TypedConfig& typed) {
  const Config params = params_of(typed, {"attention"});
  params.allow_only({"embedding_dim", "hidden_dim", "num_layers", "bidirectional", "conv1_out",
                     "conv2_out", "kernel_size", "padding", "dropout"});
  TextAttentionConfig text;
  text.embedding_dim = params.get_integer("embedding_dim", text.embedding_dim, 1, kMaxDim);
  text.hidden_dim = params.get_integer("hidden_dim", text.hidden_dim, 1, kMaxDim);
  text.num_layers = params.get_integer("num_layers", text.num_layers, 1, kMaxLayers);
  text.bidirectional = params.get<bool>("bidirectional", text.bidirectional);
  text.conv1_out = params.get_integer("conv1_out", text.conv1_out, 1, kMaxDim);
  text.conv2_out = params.get_integer("conv2_out", text.conv2_out, 1, kMaxDim);
  text.kernel_size = params.get_integer("kernel_size", text.kernel_size, 1, kMaxKernel);
  text.padding = params.get_integer("padding", text.padding, 0, kMaxKernel);
  text.dropout = params.get_float("dropout", text.dropout, 0.0, 1.0);
  if (text.bidirectional && text.hidden_dim % 2 != 0) {
    throw params.error("hidden_dim", "must be even, because each direction gets one half");
  }
  if (text.kernel_size != 2 * text.padding + 1) {
    throw params.error("padding", concat("with kernel_size = ", text.kernel_size,
                                         " changes the number of words; kernel_size must be "
                                         "2 * padding + 1"));
  }
  return text;
}

EncoderConfig parse_conv_grid(const Config& params) {
  params.allow_only({"channels", "kernel_size"});
  EncoderConfig encoder;
  encoder.type = EncoderType::kConvGrid;
  encoder.channels = params.get<std::vector<std::int64_t>>("channels", encoder.channels);
  encoder.kernel_size = params.get_integer("kernel_size", encoder.kernel_size, 1, kMaxKernel);
  if (encoder.channels.empty() || encoder.channels.size() > kMaxLayers) {
    throw params.error("channels",
                       concat("must list the channels of 1 to ", kMaxLayers, " convolutions"));
  }
  for (const std::int64_t channels : encoder.channels) {
    if (channels < 1 || channels > kMaxDim) {
      throw params.error("channels", concat("must hold numbers from 1 to ", kMaxDim));
    }
  }
  if (encoder.kernel_size % 2 == 0) {
    throw params.error("kernel_size", "must be odd, so that it has a middle");
  }
  encoder.dim = encoder.channels.back();
  return encoder;
}

EncoderConfig parse_encoder(const TypedConfig& typed, std::int64_t image_feature_dim) {
  const Config params = params_of(typed, {"default", "finetune_faster_rcnn_fpn_fc7", "conv_grid"});
  if (typed.type == "conv_grid") {
    return parse_conv_grid(params);
  }
  EncoderConfig encoder;
  encoder.dim = image_feature_dim;
  if (typed.type == "default") {
    params.allow_only({});
    return encoder;
  }
  params.allow_only({"weights_file", "bias_file"});
  for (const char* file : {"weights_file", "bias_file"}) {
    if (params.has(file)) {
      throw params.error(file,
                         "names a pickle, which Pergola does not run; leave it out, and take "
                         "the layer's weights from a checkpoint");
    }
  }
  encoder.type = EncoderType::kFc7;
  return encoder;
}

CombineConfig parse_combine(const Config& config, std::string_view key) {
  const Config params = params_of(config.typed(key), {"non_linear_element_multiply"});
  params.allow_only({"hidden_dim", "dropout"});
  CombineConfig combine;
  combine.hidden_dim = params.get_integer("hidden_dim", combine.hidden_dim, 1, kMaxDim);
  combine.dropout = params.get_float("dropout", combine.dropout, 0.0, 1.0);
  return combine;
}

ImageAttentionConfig parse_image_attention(const Config& config) {
  config.allow_only({"modal_combine", "normalization", "transform"});
  ImageAttentionConfig attention;
  attention.combine = parse_combine(config, "modal_combine");
  const bool softmax =
      config.get_choice("normalization", "softmax", {"softmax", "sigmoid"}) == "softmax";
  attention.normalization = softmax ? Normalization::kSoftmax : Normalization::kSigmoid;
  const Config params = params_of(config.typed("transform"), {"linear"});
  params.allow_only({"out_dim"});
  attention.glimpses = params.get_integer("out_dim", attention.glimpses, 1, kMaxDim);
  return attention;
}

ClassifierConfig parse_classifier(const Config& config) {
  const Config params = params_of(config.typed("classifier"), {"logit"});
  params.allow_only({"img_hidden_dim", "text_hidden_dim"});
  ClassifierConfig classifier;
  classifier.img_hidden_dim =
      params.get_integer("img_hidden_dim", classifier.img_hidden_dim, 1, kMaxDim);
  classifier.text_hidden_dim =
      params.get_integer("text_hidden_dim", classifier.text_hidden_dim, 1, kMaxDim);
  return classifier;
}

std::vector<TextAttentionConfig> parse_text_attentions(const Config& config) {
  std::vector<TextAttentionConfig> texts;
  for (const TypedConfig& typed : non_empty_list(config, "text_embeddings")) {
    texts.push_back(parse_text_attention(typed));
    if (texts.back().embedding_dim != texts.front().embedding_dim) {
      throw typed.params.error("embedding_dim",
                               concat("differs from the ", texts.front().embedding_dim,
                                      " of text_embeddings[0]; all of them read "
                                      "the same word vectors"));
    }
  }
  return texts;
}

std::vector<ImageAttentionConfig> parse_image_attentions(const Config& config) {
  constexpr const char* kKey = "image_feature_embeddings";
  const Value* list = config.value().find(kKey);
  if (list == nullptr || !list->is_array() || list->as_array().empty()) {
    throw config.error(kKey, "must list at least one {modal_combine, normalization, transform}");
  }
  std::vector<ImageAttentionConfig> attentions;
  while (attentions.size() < list->as_array().size()) {
    const std::string item = concat(kKey, "[", attentions.size(), "]");
    attentions.push_back(parse_image_attention(config.table(item)));
  }
  return attentions;
}

}  // namespace

PythiaConfig PythiaConfig::parse(const Config& config) {
  config.allow_only({"losses", "text_vocab_size", "num_final_outputs", "image_feature_dim",
                     "text_embeddings", "image_feature_encodings", "image_feature_embeddings",
                     "image_text_modal_combine", "classifier"});
  PythiaConfig pythia;
  pythia.text_vocab_size = config.get_fact("text_vocab_size", "words");
  pythia.num_final_outputs = config.get_fact("num_final_outputs", "answers");
  pythia.text_embeddings = parse_text_attentions(config);
  const std::int64_t feature_dim = config.get_integer("image_feature_dim", 2048, 1, kMaxDim);
  for (const TypedConfig& typed : non_empty_list(config, "image_feature_encodings")) {
    pythia.encoders.push_back(parse_encoder(typed, feature_dim));
  }
  pythia.image_attentions = parse_image_attentions(config);
  pythia.combine = parse_combine(config, "image_text_modal_combine");
  pythia.classifier = parse_classifier(config);
  return pythia;
}

}  // namespace pergola::pythia
