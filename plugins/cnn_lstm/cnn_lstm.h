// SPDX-License-Identifier: BSD-3-Clause
// MMF's CNN + LSTM baseline: the image's pixels through a convolutional network, the question
// through an LSTM, both side by side through a classifier. State-dict keys as MMF's.
// Legend: B = batch, T = words, N = height and width, C = answers.
#pragma once

#include "cnn_lstm_config.h"
#include "conv_net.h"
#include "pergola/nn/mlp.h"
#include "pergola/plugin.h"

#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/rnn.h>

#include <memory>
#include <vector>

namespace pergola::cnn_lstm {

class CnnLstm final : public BaseModel {
 public:
  // Throws Error{kConfig} as CnnLstmConfig::parse does.
  explicit CnnLstm(const Config& config);

  void build() override;

  // Reads `text` [B, T] and `image` [B, 3, height, width]; returns `scores` [B, C].
  // Throws Error{kConfig} when classifier.params.in_dim does not fit the images, or, in training,
  // when a batch norm would see one number only.
  ModelOutput forward(const SampleList& batch) override;

 private:
  [[nodiscard]] at::Tensor read_text(const SampleList& batch);
  [[nodiscard]] at::Tensor see_image(const SampleList& batch);

  const CnnLstmConfig options_;
  torch::nn::Embedding text_embedding_{nullptr};
  torch::nn::LSTM lstm_{nullptr};
  std::vector<std::shared_ptr<ConvNet>> cnn_;  // shared: torch::nn children are
  std::shared_ptr<nn::Mlp> classifier_;
};

}  // namespace pergola::cnn_lstm
