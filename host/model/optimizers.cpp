// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace pergola::host {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// A number that is finite and at least 0; one that is missing is `fallback`, or an error for kNone.
double non_negative(const Config& options, const char* key, double fallback) {
  const double number =
      std::isnan(fallback) ? options.get<double>(key) : options.get<double>(key, fallback);
  if (number >= 0 && std::isfinite(number)) return number;
  throw options.error(key, "is out of range; expected a number >= 0");
}

// `optimizer.params` with a group's own options over them.
Config group_options(const Config& params, const ParameterGroup& group) {
  Value merged = params.value();
  for (const auto& [key, value] : group.options.as_table()) {
    merged[key] = value;
    if (value.origin().empty()) merged[key].set_origin("the model's optimizer_parameters()");
  }
  return Config(std::move(merged), params.path());
}

void check_keys(const std::vector<ParameterGroup>& groups, const Config& params,
                const std::vector<std::string>& keys) {
  params.allow_only(keys);
  for (const ParameterGroup& group : groups) {
    for (const auto& [key, value] : group.options.as_table()) {
      if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
      throw Error(ErrorKind::kPlugin,
                  "the model's optimizer_parameters() gives a group the option ", key, " = ",
                  to_string(value), ", which the optimizer does not have", did_you_mean(key, keys));
    }
  }
}

// What `parse` makes of each group's options.
template <class Parse>
auto for_each_group(const std::vector<ParameterGroup>& groups, const Config& params, Parse parse) {
  std::vector<decltype(parse(params))> parsed;
  parsed.reserve(groups.size());
  for (const ParameterGroup& group : groups) parsed.push_back(parse(group_options(params, group)));
  return parsed;
}

std::vector<double> base_rates(const std::vector<ParameterGroup>& groups, const Config& params,
                               const std::vector<std::string>& keys, double default_lr) {
  check_keys(groups, params, keys);  // first: a mistyped `lr` is more than a missing one
  return for_each_group(groups, params, [default_lr](const Config& options) {
    return non_negative(options, "lr", default_lr);
  });
}

// torch adds L2 decay to the gradient; a new list, because gradients are not ours to change.
std::vector<at::Tensor> decayed(const std::vector<at::Tensor>& gradients,
                                const std::vector<at::Tensor>& parameters, double decay) {
  return decay == 0 ? gradients : at::_foreach_add(gradients, parameters, decay);
}

at::Tensor zeros_of(const at::Tensor& parameter) {
  return at::zeros_like(parameter, at::MemoryFormat::Preserve);
}

}  // namespace

MultiTensorOptimizer::MultiTensorOptimizer(const std::vector<ParameterGroup>& groups,
                                           const Config& params,
                                           const std::vector<std::string>& keys,
                                           std::vector<std::string> state_names, double default_lr)
    : Optimizer(groups, base_rates(groups, params, keys, default_lr)),
      state_names_(std::move(state_names)) {
  for (const ParameterGroup& group : groups) {
    std::vector<Slot> slots;
    for (const std::string& name : group.names) slots.push_back({name, {}});
    slots_.push_back(std::move(slots));
  }
}

void MultiTensorOptimizer::step() {
  const at::NoGradGuard no_grad;
  for (std::size_t g = 0; g < groups().size(); ++g) {
    Batch batch;
    for (std::size_t i = 0; i < slots_[g].size(); ++i) {
      const at::Tensor& parameter = groups()[g].parameters[i];
      if (!parameter.grad().defined()) continue;
      Slot& slot = slots_[g][i];
      batch.first.push_back(slot.state.empty());
      if (slot.state.empty()) slot.state = initial_state(parameter, g);
      PERGOLA_ASSERT(slot.state.size() <= state_names_.size());
      batch.state.resize(slot.state.size());
      batch.parameters.push_back(parameter);
      batch.gradients.push_back(parameter.grad());
      for (std::size_t k = 0; k < slot.state.size(); ++k) batch.state[k].push_back(slot.state[k]);
    }
    if (!batch.parameters.empty()) update(batch, lr(g), g);
  }
}

std::map<std::string, at::Tensor> MultiTensorOptimizer::state_dict() const {
  std::map<std::string, at::Tensor> state;
  for (const auto& slots : slots_) {
    for (const Slot& slot : slots) {
      for (std::size_t k = 0; k < slot.state.size(); ++k) {
        state.emplace(slot.name + "/" + state_names_[k], slot.state[k]);
      }
    }
  }
  return state;
}

void MultiTensorOptimizer::load_state_dict(const std::map<std::string, at::Tensor>& state) {
  std::size_t taken = 0;
  std::vector<std::vector<Slot>> loaded = slots_;
  for (std::size_t g = 0; g < loaded.size(); ++g) {
    for (std::size_t i = 0; i < loaded[g].size(); ++i) {
      Slot& slot = loaded[g][i];
      slot.state = initial_state(groups()[g].parameters[i], g);
      std::size_t found = 0;
      for (std::size_t k = 0; k < slot.state.size(); ++k) {
        const auto tensor = state.find(slot.name + "/" + state_names_[k]);
        if (tensor == state.end()) continue;
        if (tensor->second.sizes() != slot.state[k].sizes()) {
          throw Error(ErrorKind::kCheckpoint, "optimizer state ", tensor->first, " is ",
                      tensor->second.sizes(), ", expected ", slot.state[k].sizes(),
                      "; the checkpoint is of another model or config");
        }
        slot.state[k] =
            tensor->second.to(slot.state[k].options(), /*non_blocking=*/false, /*copy=*/true);
        ++found;
      }
      taken += found;
      // A parameter that never had a gradient has no state; half of one is damage.
      if (found == 0) slot.state.clear();
      if (found != 0 && found != slot.state.size()) {
        throw Error(ErrorKind::kCheckpoint, "the optimizer state of ", slot.name, " has ", found,
                    " of ", slot.state.size(), " tensors; the checkpoint is of another optimizer");
      }
    }
  }
  if (taken != state.size()) {
    throw Error(ErrorKind::kCheckpoint, "the optimizer state has ", state.size(),
                " tensors, of which ", taken,
                " fit; the checkpoint is of another model or optimizer");
  }
  slots_ = std::move(loaded);
}

SgdOptions SgdOptions::parse(const Config& options) {
  const SgdOptions parsed{
      non_negative(options, "momentum", 0.0), options.get<double>("dampening", 0.0),
      non_negative(options, "weight_decay", 0.0), options.get<bool>("nesterov", false)};
  if (parsed.nesterov && (parsed.momentum == 0 || parsed.dampening != 0)) {
    throw options.error("nesterov", "needs momentum above 0 and dampening = 0");
  }
  return parsed;
}

Sgd::Sgd(const std::vector<ParameterGroup>& groups, const Config& params)
    : MultiTensorOptimizer(groups, params,
                           {"lr", "momentum", "dampening", "weight_decay", "nesterov"},
                           {"momentum_buffer"}, kNone),
      options_(for_each_group(groups, params, SgdOptions::parse)) {}

std::vector<at::Tensor> Sgd::initial_state(const at::Tensor& parameter, std::size_t group) const {
  if (options_[group].momentum == 0) return {};
  return {zeros_of(parameter)};
}

void Sgd::update(Batch& batch, double lr, std::size_t group) {
  const SgdOptions& options = options_[group];
  std::vector<at::Tensor> gradients =
      decayed(batch.gradients, batch.parameters, options.weight_decay);
  if (options.momentum != 0) {
    std::vector<at::Tensor>& buffers = batch.state[0];
    at::_foreach_mul_(buffers, options.momentum);
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      // As torch: the first gradient enters whole, dampening begins with the second.
      buffers[i].add_(gradients[i], batch.first[i] ? 1.0 : 1 - options.dampening);
    }
    gradients = options.nesterov ? at::_foreach_add(gradients, buffers, options.momentum) : buffers;
  }
  at::_foreach_add_(batch.parameters, gradients, -lr);
}

AdamOptions AdamOptions::parse(const Config& options, double default_decay) {
  const auto betas = options.get<std::vector<double>>("betas", {0.9, 0.999});
  const auto in_range = [](double beta) { return beta >= 0 && beta < 1; };
  if (betas.size() != 2 || !in_range(betas[0]) || !in_range(betas[1])) {
    throw options.error("betas",
                        "is not a pair of numbers from 0 to below 1, such as [0.9, 0.999]");
  }
  return {betas[0], betas[1], non_negative(options, "eps", 1e-8),
          non_negative(options, "weight_decay", default_decay),
          options.get<bool>("amsgrad", false)};
}

Adam::Adam(const std::vector<ParameterGroup>& groups, const Config& params)
    : Adam(groups, params, Decay::kGradient) {}

Adam::Adam(const std::vector<ParameterGroup>& groups, const Config& params, Decay decay)
    : MultiTensorOptimizer(groups, params, {"lr", "betas", "eps", "weight_decay", "amsgrad"},
                           {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}, 1e-3),
      decay_(decay),
      options_(for_each_group(groups, params, [decay](const Config& options) {
        return AdamOptions::parse(options, decay == Decay::kDecoupled ? 0.01 : 0.0);
      })) {}

std::vector<at::Tensor> Adam::initial_state(const at::Tensor& parameter, std::size_t group) const {
  // The fused kernels count steps in a float on the parameter's device.
  std::vector<at::Tensor> state = {at::zeros({}, parameter.options().dtype(at::kFloat)),
                                   zeros_of(parameter), zeros_of(parameter)};
  if (options_[group].amsgrad) state.push_back(zeros_of(parameter));
  return state;
}

void Adam::update(Batch& batch, double lr, std::size_t group) {
  const AdamOptions& options = options_[group];
  const std::vector<at::Tensor> maxima =
      options.amsgrad ? batch.state[3] : std::vector<at::Tensor>{};
  at::_foreach_add_(batch.state[0], 1);
  const auto fused =
      decay_ == Decay::kDecoupled ? &at::_ops::_fused_adamw_::call : &at::_ops::_fused_adam_::call;
  fused(batch.parameters, batch.gradients, batch.state[1], batch.state[2], maxima, batch.state[0],
        lr, options.beta1, options.beta2, options.weight_decay, options.eps, options.amsgrad,
        /*maximize=*/false, /*grad_scale=*/{}, /*found_inf=*/{});
}

AdamW::AdamW(const std::vector<ParameterGroup>& groups, const Config& params)
    : Adam(groups, params, Decay::kDecoupled) {}

Adamax::Adamax(const std::vector<ParameterGroup>& groups, const Config& params)
    : MultiTensorOptimizer(groups, params, {"lr", "betas", "eps", "weight_decay"},
                           {"step", "exp_avg", "exp_inf"}, 2e-3),
      options_(for_each_group(groups, params, [](const Config& options) {
        return AdamOptions::parse(options, /*default_decay=*/0.0);
      })) {}

std::vector<at::Tensor> Adamax::initial_state(const at::Tensor& parameter,
                                              std::size_t /*group*/) const {
  // The step stays on the CPU: its value is read for the bias correction.
  return {at::zeros({}, at::kFloat), zeros_of(parameter), zeros_of(parameter)};
}

void Adamax::update(Batch& batch, double lr, std::size_t group) {
  const AdamOptions& options = options_[group];
  const std::vector<at::Tensor> gradients =
      decayed(batch.gradients, batch.parameters, options.weight_decay);
  std::vector<at::Tensor>& averages = batch.state[1];
  std::vector<at::Tensor>& maxima = batch.state[2];
  at::_foreach_lerp_(averages, gradients, 1 - options.beta1);
  std::vector<at::Tensor> sizes = at::_foreach_abs(gradients);
  at::_foreach_add_(sizes, options.eps);
  at::_foreach_mul_(maxima, options.beta2);
  at::_foreach_maximum_(maxima, sizes);
  at::_foreach_add_(batch.state[0], 1);
  std::vector<at::Scalar> rates;
  for (const at::Tensor& step : batch.state[0]) {
    rates.emplace_back(-lr / (1 - std::pow(options.beta1, step.item<double>())));
  }
  at::_foreach_addcdiv_(batch.parameters, averages, maxima, rates);
}

}  // namespace pergola::host
