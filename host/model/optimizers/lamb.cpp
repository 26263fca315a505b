// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/lamb.h"

#include "host/model/optimizers/adam.h"

#include <ATen/ATen.h>

#include <cmath>

namespace pergola::host {
namespace {

// |w| / |r| of each parameter, 0-d on its device, so that nothing waits for it.
std::vector<at::Tensor> trust_ratios(const std::vector<at::Tensor>& parameters,
                                     const std::vector<at::Tensor>& updates) {
  const at::Tensor weights = at::stack(at::_foreach_norm(parameters, 2));
  const at::Tensor steps = at::stack(at::_foreach_norm(updates, 2));
  const at::Tensor both = weights.gt(0).logical_and(steps.gt(0));
  return at::where(both, weights / steps, 1).unbind();
}

}  // namespace

LambOptions LambOptions::parse(const Config& options) {
  return {Betas::parse(options), options.get<double>("eps"), options.get<double>("weight_decay")};
}

ComponentSpec Lamb::spec() {
  return {.summary =
              "adam whose step has, in each tensor, lr times the weights' norm (You et al., "
              "2020), bias corrected",
          .params = {lr_param(1e-3), betas_param(),
                     eps_param(1e-6, "added to the root of the average square"),
                     weight_decay_param(0, "this times the weight is added to adam's step")}};
}

Lamb::Lamb(const std::vector<ParameterGroup>& groups, const Config& params)
    : MultiTensorOptimizer(groups, params, spec(), {"step", "exp_avg", "exp_avg_sq"}),
      options_(parse_options(LambOptions::parse)) {}

void Lamb::update(Batch& batch, double lr, std::size_t group) {
  const LambOptions& options = options_[group];
  const double beta1 = options.betas.first;
  const double beta2 = options.betas.second;
  const Tensors& averages = batch.state[1];
  const Tensors& squares = batch.state[2];
  update_moments(averages, squares, batch.gradients, options.betas);
  std::vector<at::Scalar> root_corrections;
  const std::vector<at::Scalar> corrections = counted(batch.state[0], [&](double t) {
    root_corrections.emplace_back(std::sqrt(1 - std::pow(beta2, t)));
    return 1 - std::pow(beta1, t);
  });
  const Tensors roots = at::_foreach_sqrt(squares);
  at::_foreach_div_(roots, root_corrections);
  at::_foreach_add_(roots, options.eps);
  const Tensors updates = at::_foreach_div(averages, corrections);
  at::_foreach_div_(updates, roots);
  if (options.weight_decay != 0) {
    at::_foreach_add_(updates, batch.parameters, options.weight_decay);
  }
  at::_foreach_mul_(updates, trust_ratios(batch.parameters, updates));
  at::_foreach_add_(batch.parameters, updates, -lr);
}

}  // namespace pergola::host
