// SPDX-License-Identifier: BSD-3-Clause
#include "conv_net.h"

#include "pergola/nn/batch_norm.h"

#include <torch/types.h>

namespace pergola::cnn_lstm {

ConvNet::ConvNet(const ConvNetConfig& config) {
  conv_ = register_module(
      "conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(config.in_channels, config.out_channels,
                                                         config.kernel_size)
                                    .padding(config.kernel_size / 2)));
  batch_norm_2d_ = register_module("batch_norm_2d", torch::nn::BatchNorm2d(config.out_channels));
}

at::Tensor ConvNet::forward(const at::Tensor& x) {
  // Pooling first: the leaky ReLU never changes which of two numbers is larger, so the result is
  // the same, at a quarter of the work.
  at::Tensor pooled = at::max_pool2d(conv_->forward(x), kPoolStride);
  return nn::batch_norm(batch_norm_2d_, at::leaky_relu_(pooled));
}

}  // namespace pergola::cnn_lstm
