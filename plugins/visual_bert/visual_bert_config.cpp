// SPDX-License-Identifier: BSD-3-Clause
#include "visual_bert_config.h"

#include <string>
#include <vector>

namespace pergola::visual_bert {
namespace {

constexpr std::int64_t kMaxDim = 1 << 16;

Head parse_head(const Config& config) {
  const std::string name = config.get_choice("training_head_type", "pretraining",
                                             {"pretraining", "classification", "nlvr2"});
  if (name == "pretraining") return Head::kPretraining;
  return name == "nlvr2" ? Head::kNlvr2 : Head::kClassification;
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
  (void)config.get_choice("embedding_strategy", "plain", {"plain"});  // checks it
  VisualBertConfig options;
  options.bert = nn::BertConfig::parse(config);
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
  options.classifier = linear ? nn::AnswerHeadKind::kLinear : nn::AnswerHeadKind::kMlp;
  options.image_encoder = nn::ImageEncoderConfig::parse(config, "image_encoder");
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
