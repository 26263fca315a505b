// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/multi_tensor.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <utility>

namespace pergola::host {
namespace {

// The end of a message about state that does not fit.
constexpr const char* kStateOptions = "(amsgrad, momentum, ...); resume with the old ones";

void check_group_keys(const ParameterGroup& group, const ComponentSpec& spec) {
  std::vector<std::string> keys;
  for (const ParamSpec& param : spec.params) keys.push_back(param.name);
  for (const auto& [key, value] : group.options.as_table()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    throw Error(ErrorKind::kPlugin, "the model's optimizer_parameters() gives a group the option ",
                key, " = ", to_string(value), ", which the optimizer does not have",
                did_you_mean(key, keys));
  }
}

// `params` with a group's own options over them, complete.
Config options_of(const ParameterGroup& group, const Config& params, const ComponentSpec& spec) {
  check_group_keys(group, spec);
  Value merged = params.value();
  for (const auto& [key, value] : group.options.as_table()) {
    merged[key] = value;
    if (value.origin().empty()) merged[key].set_origin("the model's optimizer_parameters()");
  }
  return spec.complete(Config(std::move(merged), params.path()));
}

std::vector<Config> options_of_groups(const std::vector<ParameterGroup>& groups,
                                      const Config& params, const ComponentSpec& spec) {
  static_cast<void>(spec.complete(params));  // they are checked without any group, too
  std::vector<Config> options;
  options.reserve(groups.size());
  for (const ParameterGroup& group : groups) options.push_back(options_of(group, params, spec));
  return options;
}

// 1 for an optimizer that finds its rate itself, so that a schedule is a factor of that.
std::vector<double> base_rates(const std::vector<Config>& options) {
  std::vector<double> rates;
  rates.reserve(options.size());
  for (const Config& group : options) rates.push_back(group.find<double>("lr").value_or(1.0));
  return rates;
}

}  // namespace

MultiTensorOptimizer::MultiTensorOptimizer(const std::vector<ParameterGroup>& groups,
                                           const Config& params, const ComponentSpec& spec,
                                           std::vector<std::string> state_names)
    : MultiTensorOptimizer(groups, options_of_groups(groups, params, spec),
                           std::move(state_names)) {}

MultiTensorOptimizer::MultiTensorOptimizer(const std::vector<ParameterGroup>& groups,
                                           std::vector<Config> options,
                                           std::vector<std::string> state_names)
    : Optimizer(groups, base_rates(options)),
      options_(std::move(options)),
      state_names_(std::move(state_names)) {
  maximize_ = parse_options([](const Config& own) { return own.get<bool>("maximize", false); });
  for (const ParameterGroup& group : groups) {
    std::vector<Slot> slots;
    for (const std::string& name : group.names) slots.push_back({name, {}});
    slots_.push_back(std::move(slots));
  }
}

std::vector<at::Tensor> MultiTensorOptimizer::initial_state(const at::Tensor& parameter,
                                                            std::size_t /*group*/) const {
  Tensors state = {zero_steps()};
  while (state.size() < state_names_.size()) state.push_back(zeros_of(parameter));
  return state;
}

std::vector<bool> MultiTensorOptimizer::used(const Tensors& gradients) const {
  return std::vector<bool>(gradients.size(), true);
}

bool MultiTensorOptimizer::joins(const at::Tensor& /*parameter*/, std::size_t /*group*/) const {
  return false;
}

void MultiTensorOptimizer::update_joined(Batch& /*batch*/) { PERGOLA_ASSERT(false); }

void MultiTensorOptimizer::step() {
  const at::NoGradGuard no_grad;
  std::vector<std::pair<std::size_t, std::size_t>> places;  // group and index of each gradient
  Tensors gradients;
  for (std::size_t g = 0; g < groups().size(); ++g) {
    for (std::size_t i = 0; i < slots_[g].size(); ++i) {
      const at::Tensor& gradient = groups()[g].parameters[i].grad();
      if (!gradient.defined()) continue;
      places.emplace_back(g, i);
      gradients.push_back(gradient);
    }
  }
  if (gradients.empty()) return;
  const std::vector<bool> is_used = used(gradients);
  // The fused operators take tensors of one type.
  std::map<std::pair<std::size_t, at::ScalarType>, Batch> batches;
  Batch joined;
  for (std::size_t k = 0; k < places.size(); ++k) {
    if (!is_used[k]) continue;
    const auto [g, i] = places[k];
    const at::Tensor& parameter = groups()[g].parameters[i];
    const bool joining = !maximize_[g] && joins(parameter, g);
    add_to(joining ? joined : batches[{g, parameter.scalar_type()}], g, i);
  }
  if (!joined.parameters.empty()) update_joined(joined);
  for (auto& [key, batch] : batches) {
    const std::size_t group = key.first;
    if (maximize_[group]) batch.gradients = at::_foreach_neg(batch.gradients);
    update(batch, lr(group), group);
  }
}

void MultiTensorOptimizer::add_to(Batch& batch, std::size_t group, std::size_t index) {
  const at::Tensor& parameter = groups()[group].parameters[index];
  Slot& slot = slots_[group][index];
  batch.groups.push_back(group);
  batch.first.push_back(slot.state.empty());
  if (slot.state.empty()) slot.state = initial_state(parameter, group);
  PERGOLA_ASSERT(slot.state.size() == state_names_.size());
  batch.parameters.push_back(parameter);
  batch.gradients.push_back(parameter.grad());
  batch.state.resize(slot.state.size());
  for (std::size_t k = 0; k < slot.state.size(); ++k) batch.state[k].push_back(slot.state[k]);
}

std::map<std::string, at::Tensor> MultiTensorOptimizer::state_dict() const {
  std::map<std::string, at::Tensor> state;
  for (const auto& slots : slots_) {
    for (const Slot& slot : slots) {
      for (std::size_t k = 0; k < slot.state.size(); ++k) {
        if (!slot.state[k].defined()) continue;
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
      taken += load_slot(loaded[g][i], state, groups()[g].parameters[i], g);
    }
  }
  if (taken != state.size()) {
    throw Error(ErrorKind::kCheckpoint, "the optimizer state has ", state.size(),
                " tensors, of which ", taken,
                " fit; the checkpoint is of another model or optimizer, or of other options of it ",
                kStateOptions);
  }
  slots_ = std::move(loaded);
}

// The number of tensors that it took.
std::size_t MultiTensorOptimizer::load_slot(Slot& slot,
                                            const std::map<std::string, at::Tensor>& state,
                                            const at::Tensor& parameter, std::size_t group) const {
  slot.state = initial_state(parameter, group);
  std::size_t expected = 0;
  std::size_t found = 0;
  for (std::size_t k = 0; k < slot.state.size(); ++k) {
    if (!slot.state[k].defined()) continue;
    ++expected;
    const auto tensor = state.find(slot.name + "/" + state_names_[k]);
    if (tensor == state.end()) continue;
    if (tensor->second.sizes() != slot.state[k].sizes()) {
      throw Error(ErrorKind::kCheckpoint, "optimizer state ", tensor->first, " is ",
                  tensor->second.sizes(), ", expected ", slot.state[k].sizes(),
                  "; the checkpoint is of another model or config");
    }
    slot.state[k].copy_(tensor->second);  // keeps the order in which the parameter lies in memory
    ++found;
  }
  // A parameter that never had a gradient has no state; half of one is damage.
  if (found == 0) slot.state.clear();
  if (found != 0 && found != expected) {
    throw Error(ErrorKind::kCheckpoint, "the optimizer state of ", slot.name, " has ", found,
                " of ", expected, " tensors; the checkpoint is of another optimizer, or of other ",
                "options of it ", kStateOptions);
  }
  return found;
}

std::vector<at::Tensor> decayed(const std::vector<at::Tensor>& gradients,
                                const std::vector<at::Tensor>& parameters, double decay) {
  return decay == 0 ? gradients : at::_foreach_add(gradients, parameters, decay);
}

at::Tensor zeros_of(const at::Tensor& parameter) {
  return at::zeros_like(parameter, at::MemoryFormat::Preserve);
}

at::Tensor zero_steps() { return at::zeros({}, at::kFloat); }

}  // namespace pergola::host
