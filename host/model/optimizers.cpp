// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <cmath>
#include <set>

namespace pergola::host {
namespace {

struct Betas {
  double first;
  double second;
};

Betas read_betas(const Config& options) {
  const auto betas = options.get<std::vector<double>>("betas", {0.9, 0.999});
  if (betas.size() != 2 || betas[0] < 0 || betas[0] >= 1 || betas[1] < 0 || betas[1] >= 1) {
    throw options.error("betas",
                        "is not a pair of numbers from 0 to below 1, such as [0.9, 0.999]");
  }
  return {betas[0], betas[1]};
}

// `optimizer.params` with a group's own options over them.
Config group_options(const Config& params, const ParameterGroup& group) {
  Value merged = params.value();
  for (const auto& [key, value] : group.options.as_table()) merged[key] = value;
  return Config(std::move(merged), params.path());
}

std::vector<double> base_rates(const std::vector<ParameterGroup>& groups, const Config& params,
                               double default_lr) {
  std::vector<double> rates;
  for (const ParameterGroup& group : groups) {
    const Config options = group_options(params, group);
    const double lr =
        std::isnan(default_lr) ? options.get<double>("lr") : options.get<double>("lr", default_lr);
    if (!(lr >= 0)) throw options.error("lr", "is not a learning rate; expected a number >= 0");
    rates.push_back(lr);
  }
  return rates;
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

MultiTensorOptimizer::MultiTensorOptimizer(std::vector<ParameterGroup> groups, const Config& params,
                                           std::vector<std::string> state_names, double default_lr)
    : Optimizer(groups, base_rates(groups, params, default_lr)),
      state_names_(std::move(state_names)) {
  for (const ParameterGroup& group : groups) {
    options_.push_back(group_options(params, group));
    std::vector<Slot> slots;
    for (const std::string& name : group.names) slots.push_back({name, {}});
    slots_.push_back(std::move(slots));
  }
}

void MultiTensorOptimizer::step() {
  const at::NoGradGuard no_grad;
  for (std::size_t g = 0; g < groups().size(); ++g) {
    Batch batch;
    batch.state.resize(state_names_.size());
    for (std::size_t i = 0; i < slots_[g].size(); ++i) {
      const at::Tensor& parameter = groups()[g].parameters[i];
      if (!parameter.grad().defined()) continue;
      Slot& slot = slots_[g][i];
      batch.first.push_back(slot.state.empty());
      if (slot.state.empty()) slot.state = initial_state(parameter);
      PERGOLA_ASSERT(slot.state.size() == state_names_.size());
      batch.parameters.push_back(parameter);
      batch.gradients.push_back(parameter.grad());
      for (std::size_t k = 0; k < slot.state.size(); ++k) batch.state[k].push_back(slot.state[k]);
    }
    if (!batch.parameters.empty()) update(batch, lr(g), options_[g]);
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
      slot.state = initial_state(groups()[g].parameters[i]);
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

Sgd::Sgd(std::vector<ParameterGroup> groups, const Config& params)
    : MultiTensorOptimizer(std::move(groups), params,
                           params.get<double>("momentum", 0.0) != 0
                               ? std::vector<std::string>{"momentum_buffer"}
                               : std::vector<std::string>{},
                           std::nan("")),
      has_momentum_(params.get<double>("momentum", 0.0) != 0) {
  params.allow_only({"lr", "momentum", "dampening", "weight_decay", "nesterov"});
}

std::vector<at::Tensor> Sgd::initial_state(const at::Tensor& parameter) const {
  if (!has_momentum_) return {};
  return {zeros_of(parameter)};
}

void Sgd::update(Batch& batch, double lr, const Config& options) {
  const double momentum = options.get<double>("momentum", 0.0);
  const double dampening = options.get<double>("dampening", 0.0);
  std::vector<at::Tensor> gradients =
      decayed(batch.gradients, batch.parameters, options.get<double>("weight_decay", 0.0));
  if (has_momentum_) {
    std::vector<at::Tensor>& buffers = batch.state[0];
    at::_foreach_mul_(buffers, momentum);
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      // As torch: the first gradient enters whole, dampening begins with the second.
      buffers[i].add_(gradients[i], batch.first[i] ? 1.0 : 1 - dampening);
    }
    gradients = options.get<bool>("nesterov", false)
                    ? at::_foreach_add(gradients, buffers, momentum)
                    : buffers;
  }
  at::_foreach_add_(batch.parameters, gradients, -lr);
}

Adam::Adam(std::vector<ParameterGroup> groups, const Config& params)
    : Adam(std::move(groups), params, Decay::kGradient) {}

Adam::Adam(std::vector<ParameterGroup> groups, const Config& params, Decay decay)
    : MultiTensorOptimizer(
          std::move(groups), params,
          params.get<bool>("amsgrad", false)
              ? std::vector<std::string>{"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
              : std::vector<std::string>{"step", "exp_avg", "exp_avg_sq"},
          1e-3),
      decay_(decay),
      amsgrad_(params.get<bool>("amsgrad", false)) {
  params.allow_only({"lr", "betas", "eps", "weight_decay", "amsgrad"});
  read_betas(params);
}

std::vector<at::Tensor> Adam::initial_state(const at::Tensor& parameter) const {
  // The fused kernels count steps in a float on the parameter's device.
  std::vector<at::Tensor> state = {at::zeros({}, parameter.options().dtype(at::kFloat)),
                                   zeros_of(parameter), zeros_of(parameter)};
  if (amsgrad_) state.push_back(zeros_of(parameter));
  return state;
}

void Adam::update(Batch& batch, double lr, const Config& options) {
  const Betas betas = read_betas(options);
  const double eps = options.get<double>("eps", 1e-8);
  const bool decoupled = decay_ == Decay::kDecoupled;
  const double decay = options.get<double>("weight_decay", decoupled ? 0.01 : 0.0);
  const std::vector<at::Tensor> maxima = amsgrad_ ? batch.state[3] : std::vector<at::Tensor>{};
  at::_foreach_add_(batch.state[0], 1);
  const auto fused = decoupled ? &at::_ops::_fused_adamw_::call : &at::_ops::_fused_adam_::call;
  fused(batch.parameters, batch.gradients, batch.state[1], batch.state[2], maxima, batch.state[0],
        lr, betas.first, betas.second, decay, eps, amsgrad_, /*maximize=*/false, /*grad_scale=*/{},
        /*found_inf=*/{});
}

AdamW::AdamW(std::vector<ParameterGroup> groups, const Config& params)
    : Adam(std::move(groups), params, Decay::kDecoupled) {}

Adamax::Adamax(std::vector<ParameterGroup> groups, const Config& params)
    : MultiTensorOptimizer(std::move(groups), params, {"step", "exp_avg", "exp_inf"}, 2e-3) {
  params.allow_only({"lr", "betas", "eps", "weight_decay"});
  read_betas(params);
}

std::vector<at::Tensor> Adamax::initial_state(const at::Tensor& parameter) const {
  // The step stays on the CPU: its value is read for the bias correction.
  return {at::zeros({}, at::kFloat), zeros_of(parameter), zeros_of(parameter)};
}

void Adamax::update(Batch& batch, double lr, const Config& options) {
  const Betas betas = read_betas(options);
  const std::vector<at::Tensor> gradients =
      decayed(batch.gradients, batch.parameters, options.get<double>("weight_decay", 0.0));
  std::vector<at::Tensor>& averages = batch.state[1];
  std::vector<at::Tensor>& maxima = batch.state[2];
  at::_foreach_lerp_(averages, gradients, 1 - betas.first);
  std::vector<at::Tensor> sizes = at::_foreach_abs(gradients);
  at::_foreach_add_(sizes, options.get<double>("eps", 1e-8));
  at::_foreach_mul_(maxima, betas.second);
  at::_foreach_maximum_(maxima, sizes);
  at::_foreach_add_(batch.state[0], 1);
  std::vector<at::Scalar> rates;
  for (const at::Tensor& step : batch.state[0]) {
    rates.emplace_back(-lr / (1 - std::pow(betas.first, step.item<double>())));
  }
  at::_foreach_addcdiv_(batch.parameters, averages, maxima, rates);
}

}  // namespace pergola::host
