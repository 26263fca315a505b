// SPDX-License-Identifier: BSD-3-Clause
#include "mlp_classifier.h"

#include <torch/types.h>

#include <memory>
#include <string>

namespace pergola::cnn_lstm {
namespace {

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kTanh:
      return x.tanh();
    case Activation::kRelu:
      break;
  }
  return x.relu();
}

}  // namespace

MlpClassifier::MlpClassifier(const ClassifierConfig& config, std::int64_t out_dim)
    : config_(config) {
  auto layers = register_module("layers", std::make_shared<torch::nn::Module>("layers"));
  std::int64_t index = 0;  // as in MMF's list, where activations and dropouts count
  std::int64_t in_dim = config.in_dim;
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    HiddenLayer& hidden = hidden_.emplace_back();
    hidden.linear =
        layers->register_module(concat(index++), torch::nn::Linear(in_dim, config.hidden_dim));
    if (config.batch_norm) {
      hidden.norm =
          layers->register_module(concat(index++), torch::nn::BatchNorm1d(config.hidden_dim));
    }
    index += 2;
    in_dim = config.hidden_dim;
  }
  last_ = layers->register_module(concat(index), torch::nn::Linear(in_dim, out_dim));
}

at::Tensor MlpClassifier::forward(const at::Tensor& x_BI) {
  at::Tensor x = x_BI;
  for (HiddenLayer& hidden : hidden_) {
    x = hidden.linear->forward(x);
    if (hidden.norm) {
      x = hidden.norm->forward(x);
    }
    x = at::dropout(activate(config_.activation, x), config_.dropout, is_training());
  }
  return last_->forward(x);
}

}  // namespace pergola::cnn_lstm
