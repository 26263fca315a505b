// SPDX-License-Identifier: BSD-3-Clause
// `model_config.visual_bert` as typed structs: parsed and checked once, read by the modules. Plain
// data. The keys are MMF's (configs/models/visual_bert/pretrain.yaml).
#pragma once

#include "pergola/config.h"
#include "pergola/nn/bert_heads.h"
#include "pergola/nn/image_encoder.h"

#include <cstdint>
#include <optional>

namespace pergola::visual_bert {

enum class Head {
  kPretraining,     // masked language modelling, with its own losses
  kClassification,  // one image
  kNlvr2,           // two images
};

enum class PoolerStrategy {
  kDefault,  // the first token, through BERT's pooler
  kVqa,      // the last word, the one before [SEP]
};

struct VisualBertConfig {
  nn::BertConfig bert;
  Head head = Head::kPretraining;
  std::int64_t num_labels = 0;  // 0 with kPretraining, which needs none
  PoolerStrategy pooler = PoolerStrategy::kDefault;
  nn::AnswerHeadKind classifier = nn::AnswerHeadKind::kMlp;
  std::int64_t visual_embedding_dim = 2048;
  std::optional<nn::ImageEncoderConfig> image_encoder;  // none: the batch has region features
  bool special_visual_initialize = true;
  bool bypass_transformer = false;
  bool output_attentions = false;
  bool output_hidden_states = false;
  bool freeze_base = false;
  double finetune_lr_multiplier = 1;

  // Throws Error{kConfig} for an unknown key or word, a number out of bounds, and sizes that the
  // data set should have given.
  [[nodiscard]] static VisualBertConfig parse(const Config& config);
};

}  // namespace pergola::visual_bert
