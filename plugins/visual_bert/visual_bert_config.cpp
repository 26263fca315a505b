// SPDX-License-Identifier: BSD-3-Clause
#include "visual_bert_config.h"

#include "pergola/suggest.h"

#include <algorithm>
#include <string>

namespace pergola::visual_bert {
namespace {

constexpr std::int64_t kMaxDim = 1 << 16;
constexpr std::int64_t kMaxLayers = 64;
constexpr std::int64_t kMaxKernel = 31;

// The sizes of the model that bert_model_name names.
nn::BertConfig sizes_of(const std::string& name) {
  nn::BertConfig bert;
  if (name == "bert-large-uncased") {
    bert.hidden_size = 1024;
    bert.num_hidden_layers = 24;
    bert.num_attention_heads = 16;
    bert.intermediate_size = 4096;
  }
  return bert;
}

nn::BertConfig parse_bert(const Config& config) {
  const std::string name = config.get_choice("bert_model_name", "bert-base-uncased",
                                             {"bert-base-uncased", "bert-large-uncased"});
  nn::BertConfig bert = nn::BertConfig::parse(config, sizes_of(name));
  if (config.get_integer("vocab_size", 0, 0) == 0)
    bert.vocab_size = config.get_fact("text_vocab_size", "words");
  return bert;
}

Head parse_head(const Config& config) {
  const std::string name = config.get_choice("training_head_type", "pretraining",
                                             {"pretraining", "classification", "nlvr2"});
  if (name == "pretraining") return Head::kPretraining;
  return name == "nlvr2" ? Head::kNlvr2 : Head::kClassification;
}

ImageEncoderConfig parse_grid(const Config& params) {
  params.allow_only({"channels", "kernel_size"});
  ImageEncoderConfig encoder;
  encoder.channels = params.get<std::vector<std::int64_t>>("channels", encoder.channels);
  if (encoder.channels.empty() || encoder.channels.size() > kMaxLayers ||
      std::ranges::any_of(encoder.channels, [](auto n) { return n < 1 || n > kMaxDim; })) {
    throw params.error("channels", concat("must list the channels of 1 to ", kMaxLayers,
                                          " convolutions, each from 1 to ", kMaxDim));
  }
  encoder.kernel_size = params.get_integer("kernel_size", encoder.kernel_size, 1, kMaxKernel);
  if (encoder.kernel_size % 2 == 0) {
    throw params.error("kernel_size", "must be odd, so that it has a middle");
  }
  return encoder;
}

std::optional<ImageEncoderConfig> parse_image_encoder(const Config& config) {
  if (!config.has("image_encoder")) return std::nullopt;
  const TypedConfig typed = config.typed("image_encoder");
  typed.options.allow_only({"type", "params"});
  if (typed.type == "none") return std::nullopt;
  if (typed.type == "grid") return parse_grid(typed.params);
  if (typed.type != "patch") {
    throw Error(ErrorKind::kConfig, typed.where, " has type '", typed.type,
                "', which is not one of none, grid, patch",
                did_you_mean(typed.type, {"none", "grid", "patch"}));
  }
  typed.params.allow_only({"patch_size", "dim"});
  ImageEncoderConfig encoder;
  encoder.type = ImageEncoderType::kPatch;
  encoder.patch_size = typed.params.get_integer("patch_size", encoder.patch_size, 1, kMaxDim);
  encoder.dim = typed.params.get_integer("dim", encoder.dim, 1, kMaxDim);
  return encoder;
}

void allow_known(const Config& config) {
  std::vector<std::string> known = {
      "losses",          "text_vocab_size",      "num_final_outputs",  "num_labels",
      "bert_model_name", "training_head_type",   "embedding_strategy", "visual_embedding_dim",
      "image_encoder",   "bypass_transformer",   "pooler_strategy",    "special_visual_initialize",
      "classifier",      "output_hidden_states", "output_attentions",  "finetune_lr_multiplier",
      "freeze_base"};
  known.insert(known.end(), nn::BertConfig::keys().begin(), nn::BertConfig::keys().end());
  config.allow_only(known);
}

// Words that would do nothing together.
void check_together(const Config& config, const VisualBertConfig& options) {
  if (options.output_attentions && options.bert.attention != nn::AttentionKind::kPlain) {
    throw config.error("output_attentions",
                       "needs attention = \"plain\": the faster ones never have the weights");
  }
  if (options.head == Head::kNlvr2 && options.pooler == PoolerStrategy::kVqa) {
    throw config.error("pooler_strategy",
                       "is for one image, the head nlvr2 has two; set it to "
                       "\"default\"");
  }
}

}  // namespace

VisualBertConfig VisualBertConfig::parse(const Config& config) {
  allow_known(config);
  config.get_choice("embedding_strategy", "plain", {"plain"});
  VisualBertConfig options;
  options.bert = parse_bert(config);
  options.head = parse_head(config);
  if (options.head != Head::kPretraining) {
    options.num_labels = config.get_integer("num_labels", 0, 0, kMaxDim * kMaxDim);
    if (options.num_labels == 0) {
      options.num_labels = config.get_fact("num_final_outputs", "answers");
    }
  }
  const bool vqa = config.get_choice("pooler_strategy", "default", {"default", "vqa"}) == "vqa";
  options.pooler = vqa ? PoolerStrategy::kVqa : PoolerStrategy::kDefault;
  const bool linear = config.get_choice("classifier", "mlp", {"mlp", "linear"}) == "linear";
  options.classifier = linear ? Classifier::kLinear : Classifier::kMlp;
  options.image_encoder = parse_image_encoder(config);
  options.visual_embedding_dim =
      options.image_encoder
          ? options.image_encoder->out_dim()
          : config.get_integer("visual_embedding_dim", options.visual_embedding_dim, 1, kMaxDim);
  options.special_visual_initialize = config.get<bool>("special_visual_initialize", true);
  options.bypass_transformer = config.get<bool>("bypass_transformer", false);
  options.output_attentions = config.get<bool>("output_attentions", false);
  options.output_hidden_states = config.get<bool>("output_hidden_states", false);
  options.freeze_base = config.get<bool>("freeze_base", false);
  options.finetune_lr_multiplier = config.get_float("finetune_lr_multiplier", 1, 0, 1e6);
  check_together(config, options);
  return options;
}

}  // namespace pergola::visual_bert
