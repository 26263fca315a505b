// SPDX-License-Identifier: BSD-3-Clause
// Sums up a question by attention over its words (MMF's AttentionTextEmbedding): an LSTM, then two
// convolutions over time that score each word once for every glimpse.
// Legend: B = batch, T = words, E = word vector, H = hidden, G = glimpses.
#pragma once

#include "pythia_config.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/rnn.h>

namespace pergola::pythia {

class TextAttention : public torch::nn::Module {
 public:
  explicit TextAttention(const TextAttentionConfig& config);

  // [B, T, E] → [B, G * H]. Padding counts as words, as in MMF.
  [[nodiscard]] at::Tensor forward(const at::Tensor& words_BTE);

 private:
  double dropout_;
  torch::nn::LSTM recurrent_unit_{nullptr};
  torch::nn::Conv1d conv1_{nullptr}, conv2_{nullptr};
};

}  // namespace pergola::pythia
