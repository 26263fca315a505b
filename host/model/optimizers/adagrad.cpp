// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/adagrad.h"

#include "host/model/optimizers/options.h"

#include <ATen/ATen.h>

namespace pergola::host {

AdagradOptions AdagradOptions::parse(const Config& options) {
  return {options.get<double>("lr_decay"), options.get<double>("weight_decay"),
          options.get<double>("initial_accumulator_value"), options.get<double>("eps")};
}

ComponentSpec Adagrad::spec() {
  return {.summary =
              "steps of the gradient over the root of the sum of all squares, as "
              "torch.optim.Adagrad",
          .params = {lr_param(1e-2),
                     {.name = "lr_decay",
                      .fallback = 0.0,
                      .meaning = "at update t the rate is lr / (1 + (t - 1) lr_decay)",
                      .low = 0,
                      .high = kHighestOption},
                     weight_decay_param(0, kDecayOfGradient),
                     {.name = "initial_accumulator_value",
                      .fallback = 0.0,
                      .meaning = "what the sum of squares begins with",
                      .low = 0,
                      .high = kHighestOption},
                     eps_param(1e-10, "added to that root"),
                     maximize_param()}};
}

Adagrad::Adagrad(const std::vector<ParameterGroup>& groups, const Config& params)
    : MultiTensorOptimizer(groups, params, spec(), {"step", "sum"}),
      options_(parse_options(AdagradOptions::parse)) {}

std::vector<at::Tensor> Adagrad::initial_state(const at::Tensor& parameter,
                                               std::size_t group) const {
  // The fused kernels count steps in a float on the parameter's device.
  return {at::zeros({}, parameter.options().dtype(at::kFloat)),
          zeros_of(parameter).fill_(options_[group].initial_accumulator_value)};
}

void Adagrad::update(Batch& batch, double lr, std::size_t group) {
  const AdagradOptions& options = options_[group];
  at::_foreach_add_(batch.state[0], 1);
  at::_fused_adagrad_(batch.parameters, batch.gradients, batch.state[1], batch.state[0], lr,
                      options.lr_decay, options.weight_decay, options.eps, /*maximize=*/false);
}

RmsPropOptions RmsPropOptions::parse(const Config& options) {
  return {options.get<double>("alpha"), options.get<double>("eps"),
          options.get<double>("weight_decay"), options.get<double>("momentum"),
          options.get<bool>("centered")};
}

ComponentSpec RmsProp::spec() {
  return {.summary = "steps of the gradient over its root mean square, as torch.optim.RMSprop",
          .params = {lr_param(1e-2),
                     {.name = "alpha",
                      .fallback = 0.99,
                      .meaning = "decay of the average square",
                      .low = 0,
                      .high = 1},
                     eps_param(1e-8, "added to the root of the average square"),
                     weight_decay_param(0, kDecayOfGradient),
                     {.name = "momentum",
                      .fallback = 0.0,
                      .meaning = "what is left of the step before",
                      .low = 0,
                      .high = kHighestOption},
                     {.name = "centered",
                      .fallback = false,
                      .meaning = "divide by the standard deviation instead"},
                     maximize_param()}};
}

RmsProp::RmsProp(const std::vector<ParameterGroup>& groups, const Config& params)
    : MultiTensorOptimizer(groups, params, spec(),
                           {"step", "square_avg", "momentum_buffer", "grad_avg"}),
      options_(parse_options(RmsPropOptions::parse)) {}

std::vector<at::Tensor> RmsProp::initial_state(const at::Tensor& parameter,
                                               std::size_t group) const {
  const RmsPropOptions& options = options_[group];
  return {zero_steps(), zeros_of(parameter),
          options.momentum > 0 ? zeros_of(parameter) : at::Tensor(),
          options.centered ? zeros_of(parameter) : at::Tensor()};
}

void RmsProp::update(Batch& batch, double lr, std::size_t group) {
  const RmsPropOptions& options = options_[group];
  const Tensors gradients = decayed(batch.gradients, batch.parameters, options.weight_decay);
  const Tensors& squares = batch.state[1];
  counted(batch.state[0], [](double t) { return t; });  // of use to who reads a checkpoint
  at::_foreach_mul_(squares, options.alpha);
  at::_foreach_addcmul_(squares, gradients, gradients, 1 - options.alpha);
  Tensors scales;
  if (options.centered) {
    const Tensors& averages = batch.state[3];
    at::_foreach_lerp_(averages, gradients, 1 - options.alpha);
    scales = at::_foreach_addcmul(squares, averages, averages, -1);
    at::_foreach_sqrt_(scales);
  } else {
    scales = at::_foreach_sqrt(squares);
  }
  at::_foreach_add_(scales, options.eps);
  if (options.momentum == 0) {
    at::_foreach_addcdiv_(batch.parameters, gradients, scales, -lr);
    return;
  }
  const Tensors& buffers = batch.state[2];
  at::_foreach_mul_(buffers, options.momentum);
  at::_foreach_addcdiv_(buffers, gradients, scales);
  at::_foreach_add_(batch.parameters, buffers, -lr);
}

}  // namespace pergola::host
