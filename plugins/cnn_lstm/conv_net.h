// SPDX-License-Identifier: BSD-3-Clause
// One layer of the image's network (MMF's ConvNet): convolution, leaky ReLU, max pooling by 2,
// batch norm. Owns its weights; used on one thread.
#pragma once

#include "cnn_lstm_config.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

namespace pergola::cnn_lstm {

inline constexpr std::int64_t kPoolStride = 2;

class ConvNet : public torch::nn::Module {
 public:
  explicit ConvNet(const ConvNetConfig& config);

  // [B, in, height, width] → [B, out, height / 2, width / 2] (an even kernel adds 1 before
  // halving). Throws Error{kConfig} in training when one number is left for each channel.
  [[nodiscard]] at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::Conv2d conv_{nullptr};
  torch::nn::BatchNorm2d batch_norm_2d_{nullptr};
};

}  // namespace pergola::cnn_lstm
