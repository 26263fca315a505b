// SPDX-License-Identifier: BSD-3-Clause
// What turns question and image into scores (MMF's MLPClassifier): hidden layers of linear, batch
// norm, activation and dropout, and a last linear one. Owns its weights; used on one thread.
#pragma once

#include "cnn_lstm_config.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <vector>

namespace pergola::cnn_lstm {

class MlpClassifier : public torch::nn::Module {
 public:
  MlpClassifier(const ClassifierConfig& config, std::int64_t out_dim);

  // [B, in] → [B, out]
  [[nodiscard]] at::Tensor forward(const at::Tensor& x_BI);

 private:
  struct HiddenLayer {
    torch::nn::Linear linear{nullptr};
    torch::nn::BatchNorm1d norm{nullptr};  // null without batch norm
  };

  ClassifierConfig config_;
  std::vector<HiddenLayer> hidden_;
  torch::nn::Linear last_{nullptr};
};

}  // namespace pergola::cnn_lstm
