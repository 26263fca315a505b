// SPDX-License-Identifier: BSD-3-Clause
// What makes scores of features (MMF's MLPClassifer, with its state-dict names): hidden layers of
// linear, batch norm, activation and dropout, and a last linear one. Owns its weights; used on the
// training thread.
// Legend: B = batch, I = inputs, O = outputs.
#pragma once

#include "pergola/config.h"
#include "pergola/nn/bert.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace pergola::nn {

// {type = "mlp", params = {...}}
struct PERGOLA_API MlpConfig {
  std::int64_t in_dim = 0;
  std::int64_t out_dim = 0;
  std::int64_t hidden_dim = 0;
  std::int64_t num_layers = 0;  // hidden ones
  double dropout = 0.5;
  Activation activation = Activation::kRelu;
  bool batch_norm = true;
  Config params{};  // what it was parsed from, for messages

  // The one that `key` of `config` holds. Where its params set no in_dim it is `in_dim`; hidden_dim
  // is in_dim then, out_dim the number of answers, which is `out_dim`. Throws Error{kConfig} for
  // another type, unknown params, numbers out of bounds, and another out_dim.  [main-thread]
  [[nodiscard]] static MlpConfig parse(const Config& config, std::string_view key,
                                       std::int64_t in_dim, std::int64_t out_dim);
};

class PERGOLA_API Mlp : public torch::nn::Module {
 public:
  explicit Mlp(const MlpConfig& config);

  // [B, I] → [B, O]. A batch of one sample passes the norms as in evaluation (nn/batch_norm.h).
  [[nodiscard]] at::Tensor forward(const at::Tensor& x_BI);

 private:
  struct HiddenLayer {
    torch::nn::Linear linear{nullptr};
    torch::nn::BatchNorm1d norm{nullptr};  // null without batch norm
  };

  const MlpConfig config_;
  std::vector<HiddenLayer> hidden_;
  torch::nn::Linear last_{nullptr};
};

}  // namespace pergola::nn
