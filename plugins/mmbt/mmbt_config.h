// SPDX-License-Identifier: BSD-3-Clause
// `model_config.mmbt` as a struct: parsed and checked once, read by the model. Plain data. The keys
// are MMF's (configs/models/mmbt/pretrain.yaml); image_encoder stands for its modal_encoder.
#pragma once

#include "pergola/config.h"
#include "pergola/nn/bert.h"
#include "pergola/nn/image_encoder.h"

#include <cstdint>
#include <optional>

namespace pergola::mmbt {

enum class Head {
  kPretraining,  // masked language modelling, with its own loss
  kClassification,
};

struct MmbtConfig {
  nn::BertConfig bert;
  Head head = Head::kPretraining;
  std::int64_t num_labels = 0;                          // 0 with kPretraining, which needs none
  std::int64_t modal_hidden_size = 2048;                // width of a region
  std::optional<nn::ImageEncoderConfig> image_encoder;  // none: the batch has region features
  bool use_modal_start_token = true;
  bool use_modal_end_token = true;
  std::int64_t num_segments = 2;
  bool freeze_text = false;
  bool freeze_modal = false;
  double finetune_lr_multiplier = 1;

  // Throws Error{kConfig} for an unknown key or word, a number out of bounds, and sizes that the
  // data set should have given.
  [[nodiscard]] static MmbtConfig parse(const Config& config);
};

}  // namespace pergola::mmbt
