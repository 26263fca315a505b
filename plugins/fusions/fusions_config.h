// SPDX-License-Identifier: BSD-3-Clause
// `model_config.<concat_bert, concat_bow or late_fusion>` as a struct: parsed and checked once,
// read by the model. Plain data. The keys are MMF's (configs/models/fusions); those of its
// text_encoder's params stand at the top, and image_encoder stands for its modal_encoder.
#pragma once

#include "pergola/config.h"
#include "pergola/nn/bert.h"
#include "pergola/nn/image_encoder.h"
#include "pergola/nn/mlp.h"

#include <cstdint>
#include <optional>
#include <variant>

namespace pergola::fusions {

enum class Text { kBert, kBagOfWords };
enum class Fusion {
  kConcat,  // one classifier over text and image side by side
  kLate,    // a classifier for each; the mean of their scores
};

enum class WordOperator { kSum, kMul };

struct BagOfWordsConfig {
  std::int64_t text_vocab_size = 0;     // words, from the data set
  std::int64_t text_hidden_size = 300;  // width of a word vector
  WordOperator word_operator = WordOperator::kSum;
};

struct FusionConfig {
  std::variant<nn::BertConfig, BagOfWordsConfig> text;
  std::optional<nn::ImageEncoderConfig> image_encoder;  // none: the batch has region features
  std::int64_t modal_hidden_size = 2048;                // width of a region
  std::int64_t num_features = 100;                      // regions of a sample
  nn::MlpConfig classifier;                             // of kConcat
  nn::MlpConfig modal_classifier, text_classifier;      // of kLate
  bool freeze_text = false;
  bool freeze_modal = false;
  double finetune_lr_multiplier = 1;

  // Throws Error{kConfig} for an unknown key or word, a number out of bounds, pixels without an
  // encoder, a classifier that does not fit what it reads, and sizes that the data set should have
  // given.
  [[nodiscard]] static FusionConfig parse(const Config& config, Text text, Fusion fusion);
};

}  // namespace pergola::fusions
