// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/adam.h"

#include <ATen/ATen.h>

#include <cmath>

namespace pergola::host {
namespace {

constexpr const char* kEps = "added to the root of the average square";
constexpr const char* kDecoupledDecay = "lr times this is the part of each weight that goes";

ParamSpec amsgrad_param() {
  return {.name = "amsgrad",
          .fallback = false,
          .meaning = "divide by the largest average square so far"};
}

// amsgrad and maximize have no kernel.
std::vector<FusedOptimizer::Group> fused_groups(const std::vector<AdamOptions>& groups) {
  std::vector<FusedOptimizer::Group> fused;
  for (const AdamOptions& own : groups) {
    fused.push_back({{own.betas.first, own.betas.second, own.eps, own.weight_decay},
                     !own.amsgrad && !own.maximize});
  }
  return fused;
}

}  // namespace

AdamOptions AdamOptions::parse(const Config& options) {
  return {Betas::parse(options),
          options.get<double>("eps"),
          options.get<double>("weight_decay"),
          options.get<bool>("amsgrad", false),
          options.get<double>("momentum_decay", 0.0),
          options.get<bool>("decoupled_weight_decay", false),
          options.get<bool>("maximize", false)};
}

void update_moments(const std::vector<at::Tensor>& m, const std::vector<at::Tensor>& v,
                    const std::vector<at::Tensor>& gradients, const Betas& betas) {
  at::_foreach_lerp_(m, gradients, 1 - betas.first);
  at::_foreach_mul_(v, betas.second);
  at::_foreach_addcmul_(v, gradients, gradients, 1 - betas.second);
}

ComponentSpec Adam::spec() {
  return {.summary = "steps of the mean gradient over its root mean square, as torch.optim.Adam",
          .params = {lr_param(1e-3), betas_param(), eps_param(1e-8, kEps),
                     weight_decay_param(0, kDecayOfGradient), amsgrad_param(), maximize_param()}};
}

Adam::Adam(const std::vector<ParameterGroup>& groups, const Config& params)
    : Adam(groups, params, spec(), Decay::kGradient) {}

Adam::Adam(const std::vector<ParameterGroup>& groups, const Config& params,
           const ComponentSpec& spec, Decay decay)
    : FusedOptimizer(groups, params, spec, {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}),
      decay_(decay),
      options_(parse_options(AdamOptions::parse)) {
  use_kernels(decay == Decay::kDecoupled ? FusedAdam::Rule::kAdamW : FusedAdam::Rule::kAdam,
              fused_groups(options_));
}

std::vector<at::Tensor> Adam::initial_state(const at::Tensor& parameter, std::size_t group) const {
  // The fused kernels count steps in a float on the parameter's device.
  return {at::zeros({}, parameter.options().dtype(at::kFloat)), zeros_of(parameter),
          zeros_of(parameter), options_[group].amsgrad ? zeros_of(parameter) : at::Tensor()};
}

void Adam::update(Batch& batch, double lr, std::size_t group) {
  const AdamOptions& options = options_[group];
  const Tensors maxima = options.amsgrad ? batch.state[3] : Tensors{};
  at::_foreach_add_(batch.state[0], 1);
  const auto fused =
      decay_ == Decay::kDecoupled ? &at::_ops::_fused_adamw_::call : &at::_ops::_fused_adam_::call;
  fused(batch.parameters, batch.gradients, batch.state[1], batch.state[2], maxima, batch.state[0],
        lr, options.betas.first, options.betas.second, options.weight_decay, options.eps,
        options.amsgrad, /*maximize=*/false, /*grad_scale=*/{}, /*found_inf=*/{});
}

ComponentSpec AdamW::spec() {
  return {.summary = "adam whose weight decay is apart from the gradient, as torch.optim.AdamW",
          .params = {lr_param(1e-3), betas_param(), eps_param(1e-8, kEps),
                     weight_decay_param(0.01, kDecoupledDecay), amsgrad_param(), maximize_param()}};
}

AdamW::AdamW(const std::vector<ParameterGroup>& groups, const Config& params)
    : Adam(groups, params, spec(), Decay::kDecoupled) {}

ComponentSpec Adamax::spec() {
  return {.summary = "adam with the largest gradient, fading, as its scale, as torch.optim.Adamax",
          .params = {lr_param(2e-3), betas_param(),
                     eps_param(1e-8, "added to the size of each gradient"),
                     weight_decay_param(0, kDecayOfGradient), maximize_param()}};
}

Adamax::Adamax(const std::vector<ParameterGroup>& groups, const Config& params)
    : FusedOptimizer(groups, params, spec(), {"step", "exp_avg", "exp_inf"}),
      options_(parse_options(AdamOptions::parse)) {
  use_kernels(FusedAdam::Rule::kAdamax, fused_groups(options_));
}

void Adamax::update(Batch& batch, double lr, std::size_t group) {
  const AdamOptions& options = options_[group];
  const Tensors gradients = decayed(batch.gradients, batch.parameters, options.weight_decay);
  const Tensors& averages = batch.state[1];
  const Tensors& maxima = batch.state[2];
  at::_foreach_lerp_(averages, gradients, 1 - options.betas.first);
  const Tensors sizes = at::_foreach_abs(gradients);
  at::_foreach_add_(sizes, options.eps);
  at::_foreach_mul_(maxima, options.betas.second);
  at::_foreach_maximum_(maxima, sizes);
  const std::vector<at::Scalar> rates = counted_anywhere(
      batch.state[0], [&](double t) { return -lr / (1 - std::pow(options.betas.first, t)); });
  at::_foreach_addcdiv_(batch.parameters, averages, maxima, rates);
}

ComponentSpec Nadam::spec() {
  return {.summary = "adam with Nesterov's look ahead, as torch.optim.NAdam",
          .params = {lr_param(2e-3),
                     betas_param(),
                     eps_param(1e-8, kEps),
                     weight_decay_param(0, kDecayOfGradient),
                     {.name = "momentum_decay",
                      .fallback = 4e-3,
                      .meaning = "how fast the momentum grows from half of betas[0] to all of it",
                      .low = 0,
                      .high = kHighestOption},
                     {.name = "decoupled_weight_decay",
                      .fallback = false,
                      .meaning = "weight decay as adamw's"},
                     maximize_param()}};
}

Nadam::Nadam(const std::vector<ParameterGroup>& groups, const Config& params)
    : MultiTensorOptimizer(groups, params, spec(), {"step", "exp_avg", "exp_avg_sq", "mu_product"}),
      options_(parse_options(AdamOptions::parse)) {}

std::vector<at::Tensor> Nadam::initial_state(const at::Tensor& parameter,
                                             std::size_t /*group*/) const {
  return {zero_steps(), zeros_of(parameter), zeros_of(parameter), at::ones({}, at::kFloat)};
}

void Nadam::update(Batch& batch, double lr, std::size_t group) {
  const AdamOptions& options = options_[group];
  const double beta1 = options.betas.first;
  const double beta2 = options.betas.second;
  Tensors gradients = batch.gradients;
  if (options.decoupled_weight_decay) {
    at::_foreach_mul_(batch.parameters, 1 - lr * options.weight_decay);
  } else {
    gradients = decayed(gradients, batch.parameters, options.weight_decay);
  }
  const Tensors& averages = batch.state[1];
  const Tensors& squares = batch.state[2];
  update_moments(averages, squares, gradients, options.betas);
  const auto momentum = [&](double t) {
    return beta1 * (1 - 0.5 * std::pow(0.96, t * options.momentum_decay));
  };
  std::vector<at::Scalar> gradient_rates;
  std::vector<at::Scalar> average_rates;
  std::size_t i = 0;
  const std::vector<at::Scalar> corrections = counted(batch.state[0], [&](double t) {
    float& product = *batch.state[3][i++].mutable_data_ptr<float>();  // on the CPU, as the steps
    product *= static_cast<float>(momentum(t));
    gradient_rates.emplace_back(-lr * (1 - momentum(t)) / (1.0 - product));
    average_rates.emplace_back(-lr * momentum(t + 1) / (1.0 - product * momentum(t + 1)));
    return std::sqrt(1 - std::pow(beta2, t));
  });
  const Tensors roots = at::_foreach_sqrt(squares);
  at::_foreach_div_(roots, corrections);
  at::_foreach_add_(roots, options.eps);
  at::_foreach_addcdiv_(batch.parameters, gradients, roots, gradient_rates);
  at::_foreach_addcdiv_(batch.parameters, averages, roots, average_rates);
}

}  // namespace pergola::host
