// SPDX-License-Identifier: BSD-3-Clause
#include "mmbt_config.h"

#include <string>
#include <vector>

namespace pergola::mmbt {

MmbtConfig MmbtConfig::parse(const Config& config) {
  constexpr std::int64_t kMost = 1 << 20;
  std::vector<std::string> known = {"losses",
                                    "num_final_outputs",
                                    "num_labels",
                                    "training_head_type",
                                    "modal_hidden_size",
                                    "image_encoder",
                                    "use_modal_start_token",
                                    "use_modal_end_token",
                                    "num_segments",
                                    "freeze_text",
                                    "freeze_modal",
                                    "freeze_complete_base",
                                    "finetune_lr_multiplier"};
  known.insert(known.end(), nn::BertConfig::keys().begin(), nn::BertConfig::keys().end());
  config.allow_only(known);
  MmbtConfig options;
  options.bert = nn::BertConfig::parse(config);
  const bool classifies = config.get_choice("training_head_type", "pretraining",
                                            {"pretraining", "classification"}) == "classification";
  options.head = classifies ? Head::kClassification : Head::kPretraining;
  options.num_labels = config.get_integer("num_labels", 0, 0);
  if (classifies && options.num_labels == 0) {
    options.num_labels = config.get_fact("num_final_outputs", "answers");
  }
  options.image_encoder = nn::ImageEncoderConfig::parse(config, "image_encoder");
  options.modal_hidden_size =
      options.image_encoder
          ? options.image_encoder->out_dim()
          : config.get_integer("modal_hidden_size", options.modal_hidden_size, 1, kMost);
  options.use_modal_start_token = config.get<bool>("use_modal_start_token", true);
  options.use_modal_end_token = config.get<bool>("use_modal_end_token", true);
  options.num_segments =
      config.get_integer("num_segments", options.num_segments, 1, options.bert.type_vocab_size);
  const bool freeze_all = config.get<bool>("freeze_complete_base", false);
  options.freeze_text = freeze_all || config.get<bool>("freeze_text", false);
  options.freeze_modal = freeze_all || config.get<bool>("freeze_modal", false);
  options.finetune_lr_multiplier = config.get_float("finetune_lr_multiplier", 1, 0, 1e6);
  return options;
}

}  // namespace pergola::mmbt
