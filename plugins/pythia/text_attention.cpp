// SPDX-License-Identifier: BSD-3-Clause
#include "text_attention.h"

#include "pergola/ops.h"

#include <torch/types.h>

#include <tuple>

namespace pergola::pythia {
namespace {

// activation(convolution over dimension 1): [B, T, in] → [B, T, out]. One of width 1, the usual
// one, is a matrix product without the two transposes.
at::Tensor convolve_over_time(torch::nn::Conv1dImpl& conv, const at::Tensor& x_BTI,
                              ops::Activation activation) {
  if (conv.weight.size(2) == 1) {
    return ops::linear(x_BTI, {conv.weight.squeeze(2), conv.bias, {}, activation});
  }
  const at::Tensor y_BTO = conv.forward(x_BTI.transpose(1, 2)).transpose(1, 2);
  return activation == ops::Activation::kRelu ? y_BTO.relu() : y_BTO;
}

torch::nn::Conv1d make_conv(std::int64_t in, std::int64_t out, const TextAttentionConfig& config) {
  return torch::nn::Conv1d(
      torch::nn::Conv1dOptions(in, out, config.kernel_size).padding(config.padding));
}

}  // namespace

TextAttention::TextAttention(const TextAttentionConfig& config) : dropout_(config.dropout) {
  const std::int64_t directions = config.bidirectional ? 2 : 1;
  recurrent_unit_ = register_module(
      "recurrent_unit",
      torch::nn::LSTM(torch::nn::LSTMOptions(config.embedding_dim, config.hidden_dim / directions)
                          .num_layers(config.num_layers)
                          .bidirectional(config.bidirectional)
                          .batch_first(true)));
  conv1_ = register_module("conv1", make_conv(config.hidden_dim, config.conv1_out, config));
  conv2_ = register_module("conv2", make_conv(config.conv1_out, config.conv2_out, config));
}

at::Tensor TextAttention::forward(const at::Tensor& words_BTE) {
  const at::Tensor read_BTH =
      at::dropout(std::get<0>(recurrent_unit_->forward(words_BTE)), dropout_, is_training());
  const at::Tensor hidden_BTI = convolve_over_time(*conv1_, read_BTH, ops::Activation::kRelu);
  const at::Tensor weights_BTG =
      convolve_over_time(*conv2_, hidden_BTI, ops::Activation::kNone).softmax(/*dim=*/1);
  return ops::sum_rows(weights_BTG, read_BTH).flatten(/*start_dim=*/1);
}

}  // namespace pergola::pythia
