// SPDX-License-Identifier: BSD-3-Clause
#include "fusions_config.h"

#include <string>
#include <vector>

namespace pergola::fusions {
namespace {

// Together the 2^27 inputs that a classifier may have.
constexpr std::int64_t kMaxWidth = 1 << 16;
constexpr std::int64_t kMaxRegions = 1 << 11;

std::vector<std::string> known_keys(Text text, Fusion fusion) {
  std::vector<std::string> known = {"losses",
                                    "num_final_outputs",
                                    "num_labels",
                                    "direct_features_input",
                                    "image_encoder",
                                    "modal_hidden_size",
                                    "num_features",
                                    "freeze_text",
                                    "freeze_modal",
                                    "freeze_complete_base",
                                    "finetune_lr_multiplier"};
  const auto add = [&](const std::vector<std::string>& keys) {
    known.insert(known.end(), keys.begin(), keys.end());
  };
  add(fusion == Fusion::kConcat ? std::vector<std::string>{"classifier"}
                                : std::vector<std::string>{"modal_classifier", "text_classifier"});
  add(text == Text::kBert
          ? nn::BertConfig::keys()
          : std::vector<std::string>{"text_vocab_size", "text_hidden_size", "operator"});
  return known;
}

BagOfWordsConfig parse_bag(const Config& config) {
  BagOfWordsConfig bag;
  bag.text_vocab_size = config.get_fact("text_vocab_size", "words");
  bag.text_hidden_size = config.get_integer("text_hidden_size", bag.text_hidden_size, 1, kMaxWidth);
  if (config.get_choice("operator", "sum", {"sum", "mul"}) == "mul") {
    bag.word_operator = WordOperator::kMul;
  }
  return bag;
}

nn::MlpConfig parse_classifier(const Config& config, const char* key, std::int64_t in_dim,
                               std::int64_t num_labels) {
  const nn::MlpConfig mlp = nn::MlpConfig::parse(config, key, in_dim, num_labels);
  if (mlp.in_dim != in_dim) {
    throw mlp.params.error("in_dim", concat("must be what the classifier reads, which is ", in_dim,
                                            " numbers; leave it out"));
  }
  return mlp;
}

}  // namespace

FusionConfig FusionConfig::parse(const Config& config, Text text, Fusion fusion) {
  config.allow_only(known_keys(text, fusion));
  FusionConfig options;
  std::int64_t text_width = 0;
  if (text == Text::kBert) {
    const nn::BertConfig bert = nn::BertConfig::parse(config);
    text_width = bert.hidden_size;
    options.text = bert;
  } else {
    const BagOfWordsConfig bag = parse_bag(config);
    text_width = bag.text_hidden_size;
    options.text = bag;
  }
  options.modal_hidden_size =
      config.get_integer("modal_hidden_size", options.modal_hidden_size, 1, kMaxWidth);
  if (!config.get<bool>("direct_features_input", false)) {
    options.image_encoder = nn::ImageEncoderConfig::parse(config, "image_encoder");
    if (!options.image_encoder) {
      throw config.error("image_encoder",
                         "names no encoder for pixels; choose grid or patch, or set "
                         "direct_features_input to true for region features");
    }
    options.modal_hidden_size = options.image_encoder->out_dim();
  }
  options.num_features = config.get_integer("num_features", options.num_features, 1, kMaxRegions);
  std::int64_t num_labels = config.get_integer("num_labels", 0, 0);
  if (num_labels == 0) num_labels = config.get_fact("num_final_outputs", "answers");
  const std::int64_t image_width = options.num_features * options.modal_hidden_size;
  if (fusion == Fusion::kConcat) {
    options.classifier =
        parse_classifier(config, "classifier", image_width + text_width, num_labels);
  } else {
    options.modal_classifier =
        parse_classifier(config, "modal_classifier", image_width, num_labels);
    options.text_classifier = parse_classifier(config, "text_classifier", text_width, num_labels);
  }
  const bool freeze_all = config.get<bool>("freeze_complete_base", false);
  options.freeze_text = freeze_all || config.get<bool>("freeze_text", false);
  options.freeze_modal = freeze_all || config.get<bool>("freeze_modal", false);
  options.finetune_lr_multiplier = config.get_float("finetune_lr_multiplier", 1, 0, 1e6);
  return options;
}

}  // namespace pergola::fusions
