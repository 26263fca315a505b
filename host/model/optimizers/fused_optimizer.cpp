// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/optimizers/fused_optimizer.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace pergola::host {

void FusedOptimizer::use_kernels(FusedAdam::Rule rule, const std::vector<Group>& groups) {
  std::vector<FusedAdam::Options> options;
  for (const Group& group : groups) {
    options.push_back(group.options);
    has_kernel_.push_back(group.has_kernel);
  }
  fused_.emplace(options, rule);
}

bool FusedOptimizer::joins(const at::Tensor& parameter, std::size_t group) const {
  return has_kernel_[group] && FusedAdam::takes(parameter);
}

std::vector<at::Tensor> FusedOptimizer::initial_state(const at::Tensor& parameter,
                                                      std::size_t group) const {
  Tensors state = MultiTensorOptimizer::initial_state(parameter, group);
  if (joins(parameter, group)) state[0] = at::zeros({}, parameter.options().dtype(at::kFloat));
  return state;
}

void FusedOptimizer::update_joined(Batch& batch) {
  const bool first = std::find(batch.first.begin(), batch.first.end(), true) != batch.first.end();
  if (first && FusedAdam::is_recording(batch.parameters.front())) {
    throw Error(ErrorKind::kUnexpected,
                "the first step of a parameter, which makes its state, cannot be recorded");
  }
  fused_->step({batch.parameters,
                batch.gradients,
                batch.state[1],
                batch.state[2],
                batch.state[0],
                {batch.groups.begin(), batch.groups.end()}},
               rates());
}

bool FusedOptimizer::all_join(Which parameters) const {
  for (std::size_t g = 0; g < groups().size(); ++g) {
    for (const at::Tensor& parameter : groups()[g].parameters) {
      if (parameters == Which::kWithGradient && !parameter.grad().defined()) continue;
      if (!joins(parameter, g)) return false;
    }
  }
  return true;
}

std::vector<double> FusedOptimizer::rates() const {
  std::vector<double> rates;
  for (std::size_t g = 0; g < groups().size(); ++g) rates.push_back(lr(g));
  return rates;
}

bool FusedOptimizer::scale_gradients(const at::Tensor& scale) {
  const bool taken = all_join(Which::kWithGradient);
  if (taken) fused_->scale_next(scale);
  return taken;
}

bool FusedOptimizer::skip_where(const at::Tensor& flag) {
  const bool taken = all_join(Which::kWithGradient);
  if (taken) fused_->skip_next_where(flag);
  return taken;
}

bool FusedOptimizer::capturable() const { return all_join(Which::kAll); }

void FusedOptimizer::before_replay() {
  for (const ParameterGroup& group : groups()) {
    if (group.parameters.empty()) continue;
    fused_->write_rates(rates(), group.parameters.front().device());
    return;
  }
}

}  // namespace pergola::host
