// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/mmf_adam_w.h"

#include "host/model/optimizers/adam.h"

#include <ATen/ATen.h>

#include <cmath>

namespace pergola::host {

MmfAdamWOptions MmfAdamWOptions::parse(const Config& options) {
  return {Betas::parse(options), options.get<double>("eps"), options.get<double>("weight_decay"),
          options.get<bool>("correct_bias")};
}

ComponentSpec MmfAdamW::spec() {
  return {.summary = "MMF's adam_w: adamw whose weight decay comes after the step",
          .params = {lr_param(1e-3),
                     betas_param(),
                     eps_param(1e-6, "added to the root of the average square, as it is"),
                     weight_decay_param(0, "lr times this is the part of each weight that goes"),
                     {.name = "correct_bias",
                      .fallback = true,
                      .meaning = "make up for averages that began at 0"}}};
}

MmfAdamW::MmfAdamW(const std::vector<ParameterGroup>& groups, const Config& params)
    : MmfAdamW(groups, params, spec()) {}

MmfAdamW::MmfAdamW(const std::vector<ParameterGroup>& groups, const Config& params,
                   const ComponentSpec& spec)
    : FusedOptimizer(groups, params, spec, {"step", "exp_avg", "exp_avg_sq"}),
      options_(parse_options(MmfAdamWOptions::parse)) {
  std::vector<Group> fused;
  for (const MmfAdamWOptions& own : options_) {
    fused.push_back({{own.betas.first, own.betas.second, own.eps, own.weight_decay},
                     /*has_kernel=*/own.correct_bias});
  }
  use_kernels(FusedAdam::Rule::kMmfAdamW, fused);
}

void MmfAdamW::update(Batch& batch, double lr, std::size_t group) {
  const MmfAdamWOptions& options = options_[group];
  const double beta1 = options.betas.first;
  const double beta2 = options.betas.second;
  const Tensors& averages = batch.state[1];
  const Tensors& squares = batch.state[2];
  update_moments(averages, squares, batch.gradients, options.betas);
  const Tensors roots = at::_foreach_sqrt(squares);
  at::_foreach_add_(roots, options.eps);
  const std::vector<at::Scalar> rates = counted_anywhere(batch.state[0], [&](double t) {
    if (!options.correct_bias) return -lr;
    return -lr * std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t));
  });
  at::_foreach_addcdiv_(batch.parameters, averages, roots, rates);
  if (options.weight_decay != 0) {
    at::_foreach_mul_(batch.parameters, 1 - lr * options.weight_decay);
  }
}

ComponentSpec MmfAdamWSkip::spec() {
  ComponentSpec spec = MmfAdamW::spec();
  spec.summary =
      "adam_w that leaves a parameter alone while its whole gradient is zero; waits for a GPU once "
      "a step";
  return spec;
}

MmfAdamWSkip::MmfAdamWSkip(const std::vector<ParameterGroup>& groups, const Config& params)
    : MmfAdamW(groups, params, spec()) {}

std::vector<bool> MmfAdamWSkip::used(const Tensors& gradients) const {
  // Sums of sizes: 0 of zeros alone; NaN and infinity are not 0. Types may differ.
  const at::Tensor sums = at::stack(at::_foreach_norm(gradients, 1));
  const at::Tensor nonzero = sums.ne(0).cpu();
  const bool* begin = nonzero.const_data_ptr<bool>();
  return std::vector<bool>(begin, begin + nonzero.numel());
}

}  // namespace pergola::host
