// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/mlp.h"

#include "pergola/error.h"
#include "pergola/nn/batch_norm.h"
#include "pergola/nn/module.h"

#include <ATen/ATen.h>

#include <string>

namespace pergola::nn {
namespace {

constexpr std::int64_t kMaxItems = 1 << 27;  // as Config::get_fact
constexpr std::int64_t kMaxMlpLayers = 16;

}  // namespace

MlpConfig MlpConfig::parse(const Config& config, std::string_view key, std::int64_t in_dim,
                           std::int64_t out_dim) {
  const Config options = config.table(key);
  options.allow_only({"type", "params"});
  (void)options.get_choice("type", "mlp", {"mlp"});
  const Config params = options.table("params");
  params.allow_only(
      {"in_dim", "out_dim", "hidden_dim", "num_layers", "dropout", "hidden_act", "batch_norm"});
  MlpConfig mlp;
  mlp.params = params;
  mlp.in_dim = params.get_integer("in_dim", in_dim, 1, kMaxItems);
  mlp.out_dim = out_dim;
  mlp.hidden_dim = params.get_integer("hidden_dim", mlp.in_dim, 1, kMaxItems);
  mlp.num_layers = params.get_integer("num_layers", mlp.num_layers, 0, kMaxMlpLayers);
  mlp.dropout = params.get_float("dropout", mlp.dropout, 0.0, 1.0);
  mlp.batch_norm = params.get<bool>("batch_norm", mlp.batch_norm);
  const std::string activation = params.get_choice("hidden_act", "relu", {"relu", "gelu", "tanh"});
  mlp.activation = activation == "gelu"   ? Activation::kGelu
                   : activation == "tanh" ? Activation::kTanh
                                          : Activation::kRelu;
  if (params.get<std::int64_t>("out_dim", out_dim) != out_dim) {
    throw params.error("out_dim", concat("must be the number of answers, which is ", out_dim,
                                         " for this data set; leave it out"));
  }
  return mlp;
}

Mlp::Mlp(const MlpConfig& config) : config_(config) {
  torch::nn::Module& layers = child_level(*this, "layers");
  std::int64_t index = 0;  // as in MMF's list, where activations and dropouts count
  std::int64_t in_dim = config.in_dim;
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    HiddenLayer& hidden = hidden_.emplace_back();
    hidden.linear =
        layers.register_module(concat(index++), torch::nn::Linear(in_dim, config.hidden_dim));
    if (config.batch_norm) {
      hidden.norm =
          layers.register_module(concat(index++), torch::nn::BatchNorm1d(config.hidden_dim));
    }
    index += 2;
    in_dim = config.hidden_dim;
  }
  last_ = layers.register_module(concat(index), torch::nn::Linear(in_dim, config.out_dim));
}

at::Tensor Mlp::forward(const at::Tensor& x_BI) {
  at::Tensor x = x_BI;
  for (HiddenLayer& hidden : hidden_) {
    x = hidden.linear->forward(x);
    if (hidden.norm) x = batch_norm(hidden.norm, x);
    x = at::dropout(activate(config_.activation, x), config_.dropout, is_training());
  }
  return last_->forward(x);
}

}  // namespace pergola::nn
