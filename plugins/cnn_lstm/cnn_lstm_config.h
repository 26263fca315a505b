// SPDX-License-Identifier: BSD-3-Clause
// `model_config.cnn_lstm` as typed structs: parsed and checked once, read by the modules. Plain
// data. The keys are MMF's (configs/models/cnn_lstm/defaults.yaml); plugin.toml has its values.
#pragma once

#include "pergola/config.h"
#include "pergola/nn/mlp.h"

#include <cstdint>
#include <vector>

namespace pergola::cnn_lstm {

// lstm: the arguments of torch's LSTM, with its defaults.
struct LstmConfig {
  std::int64_t input_size = 20;
  std::int64_t hidden_size = 50;
  std::int64_t num_layers = 1;
  std::int64_t proj_size = 0;
  double dropout = 0.0;
  bool bias = true;
  bool bidirectional = false;

  // The width of the last hidden states of all layers and directions together.
  [[nodiscard]] std::int64_t out_dim() const noexcept {
    return num_layers * (bidirectional ? 2 : 1) * (proj_size > 0 ? proj_size : hidden_size);
  }
};

// One entry of cnn.layers.{input_dims, output_dims, kernel_sizes}.
struct ConvNetConfig {
  std::int64_t in_channels;
  std::int64_t out_channels;
  std::int64_t kernel_size;
};

struct CnnLstmConfig {
  std::int64_t text_vocab_size = 0;    // words, from the data set
  std::int64_t num_final_outputs = 0;  // answers, from the data set
  LstmConfig lstm;
  std::vector<ConvNetConfig> layers;
  nn::MlpConfig classifier;  // its in_dim: the LSTM's width + the flattened image

  // Throws Error{kConfig} for an unknown key, a number out of bounds, layers that do not fit each
  // other, and sizes that the data set should have given.
  [[nodiscard]] static CnnLstmConfig parse(const Config& config);
};

}  // namespace pergola::cnn_lstm
