// SPDX-License-Identifier: BSD-3-Clause
// `model_config.pythia` as typed structs: parsed and checked once, read by the modules. Plain data.
// The keys are MMF's (configs/models/pythia/defaults.yaml); the member initialisers are its
// defaults, and hold for a key that is left out.
#pragma once

#include "pergola/config.h"

#include <cstdint>
#include <vector>

namespace pergola::pythia {

// text_embeddings[i] = {type = "attention", params = {...}}
struct TextAttentionConfig {
  std::int64_t embedding_dim = 300;  // width of a word vector
  std::int64_t hidden_dim = 1024;    // width of the LSTM's output, both directions together
  std::int64_t num_layers = 1;
  bool bidirectional = false;
  std::int64_t conv1_out = 512;
  std::int64_t conv2_out = 2;    // glimpses: how many times the question is summed up
  std::int64_t kernel_size = 1;  // of both convolutions over time
  std::int64_t padding = 0;      // (kernel_size - 1) / 2, so that the length stays
  double dropout = 0.0;

  [[nodiscard]] std::int64_t out_dim() const noexcept { return hidden_dim * conv2_out; }
};

enum class EncoderType {
  kDefault,   // features as they are
  kFc7,       // a fine-tuned fully connected layer
  kConvGrid,  // pixels to a grid of regions
};

// image_feature_encodings[i] = {type, params}
struct EncoderConfig {
  EncoderType type = EncoderType::kDefault;
  std::int64_t dim = 2048;  // width of a region: image_feature_dim, or the last of `channels`
  std::vector<std::int64_t> channels = {32, 64, 128, 256};  // conv_grid: of each convolution
  std::int64_t kernel_size = 3;                             // conv_grid: of all of them, odd
};

// modal_combine = {type = "non_linear_element_multiply", params = {...}}
struct CombineConfig {
  std::int64_t hidden_dim = 5000;
  double dropout = 0.0;
};

enum class Normalization { kSoftmax, kSigmoid };

// image_feature_embeddings[i] = {modal_combine, normalization, transform}
struct ImageAttentionConfig {
  CombineConfig combine;
  Normalization normalization = Normalization::kSoftmax;
  std::int64_t glimpses = 1;  // transform.params.out_dim
};

// classifier = {type = "logit", params = {...}}
struct ClassifierConfig {
  std::int64_t img_hidden_dim = 5000;
  std::int64_t text_hidden_dim = 300;
};

struct PythiaConfig {
  std::int64_t text_vocab_size = 0;    // words, from the data set
  std::int64_t num_final_outputs = 0;  // answers, from the data set
  std::vector<TextAttentionConfig> text_embeddings;
  std::vector<EncoderConfig> encoders;
  std::vector<ImageAttentionConfig> image_attentions;  // the same ones for each encoder
  CombineConfig combine;
  ClassifierConfig classifier;

  // Throws Error{kConfig} for an unknown key or type, a number out of bounds, an empty list, word
  // vectors of different widths, and sizes that the data set should have given.
  [[nodiscard]] static PythiaConfig parse(const Config& config);
};

}  // namespace pergola::pythia
