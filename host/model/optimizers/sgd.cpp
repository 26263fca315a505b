// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/sgd.h"

#include "host/model/optimizers/options.h"

#include <ATen/ATen.h>

namespace pergola::host {

SgdOptions SgdOptions::parse(const Config& options) {
  const SgdOptions parsed{options.get<double>("momentum"), options.get<double>("dampening"),
                          options.get<double>("weight_decay"), options.get<bool>("nesterov")};
  if (parsed.nesterov && (parsed.momentum == 0 || parsed.dampening != 0)) {
    throw options.error("nesterov", "needs momentum above 0 and dampening = 0");
  }
  return parsed;
}

ComponentSpec Sgd::spec() {
  return {.summary = "stochastic gradient descent, with momentum if asked for, as torch.optim.SGD",
          .params = {{.name = "lr",
                      .fallback = {},
                      .meaning = "the rate before any schedule",
                      .low = 0,
                      .high = kHighestOption,
                      .type = Value::Type::kFloat,
                      .need = ParamSpec::Need::kRequired},
                     {.name = "momentum",
                      .fallback = 0.0,
                      .meaning = "what is left of the step before",
                      .low = 0,
                      .high = kHighestOption},
                     {.name = "dampening",
                      .fallback = 0.0,
                      .meaning = "the part of a gradient that does not enter the momentum"},
                     weight_decay_param(0, kDecayOfGradient),
                     {.name = "nesterov",
                      .fallback = false,
                      .meaning = "look ahead by one step of the momentum"},
                     maximize_param()}};
}

Sgd::Sgd(const std::vector<ParameterGroup>& groups, const Config& params)
    : MultiTensorOptimizer(groups, params, spec(), {"momentum_buffer"}),
      options_(parse_options(SgdOptions::parse)) {}

std::vector<at::Tensor> Sgd::initial_state(const at::Tensor& parameter, std::size_t group) const {
  return {options_[group].momentum == 0 ? at::Tensor() : zeros_of(parameter)};
}

void Sgd::update(Batch& batch, double lr, std::size_t group) {
  const SgdOptions& options = options_[group];
  // The operator asks once whether its gradients are the first, which enter the momentum whole.
  for (const bool first : {true, false}) {
    Tensors parameters;
    Tensors gradients;
    Tensors buffers;
    for (std::size_t i = 0; i < batch.first.size(); ++i) {
      if (batch.first[i] != first) continue;
      parameters.push_back(batch.parameters[i]);
      gradients.push_back(batch.gradients[i]);
      if (options.momentum != 0) buffers.push_back(batch.state[0][i]);
    }
    if (parameters.empty()) continue;
    at::_fused_sgd_(parameters, gradients, buffers, options.weight_decay, options.momentum, lr,
                    options.dampening, options.nesterov, /*maximize=*/false,
                    /*is_first_step=*/first);
  }
}

}  // namespace pergola::host
