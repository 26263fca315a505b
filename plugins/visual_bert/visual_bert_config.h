// SPDX-License-Identifier: BSD-3-Clause
// `model_config.visual_bert` as typed structs: parsed and checked once, read by the modules. Plain
// data. The keys are MMF's (configs/models/visual_bert/pretrain.yaml).
#pragma once

#include "pergola/config.h"
#include "pergola/nn/bert.h"

#include <cstdint>
#include <optional>
#include <vector>

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

enum class Classifier {
  kMlp,     // MMF's: dense, GELU, LayerNorm, linear
  kLinear,  // Hugging Face's: one linear layer
};

enum class ImageEncoderType {
  kGrid,   // convolutions of stride 2: a region for each place of the last one
  kPatch,  // a region for each square of pixels
};

// image_encoder = {type = "grid" or "patch", params = {...}}
struct ImageEncoderConfig {
  ImageEncoderType type = ImageEncoderType::kGrid;
  std::vector<std::int64_t> channels = {32, 64, 128, 128};  // grid: of each convolution
  std::int64_t kernel_size = 3;                             // grid: of all of them, odd
  std::int64_t patch_size = 16;                             // patch: height and width, in pixels
  std::int64_t dim = 768;                                   // patch: width of a region
  // The width of a region.
  [[nodiscard]] std::int64_t out_dim() const {
    return type == ImageEncoderType::kGrid ? channels.back() : dim;
  }
};

struct VisualBertConfig {
  nn::BertConfig bert;
  Head head = Head::kPretraining;
  std::int64_t num_labels = 0;  // 0 with kPretraining, which needs none
  PoolerStrategy pooler = PoolerStrategy::kDefault;
  Classifier classifier = Classifier::kMlp;
  std::int64_t visual_embedding_dim = 2048;
  std::optional<ImageEncoderConfig> image_encoder;  // none: the batch has region features
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
