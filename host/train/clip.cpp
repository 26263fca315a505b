// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/clip.h"

#include "host/model/optimizers/fused_adam.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace pergola::host {
namespace {

std::vector<at::Tensor> gradients_of(const Optimizer& optimizer) {
  std::vector<at::Tensor> gradients;
  for (const ParameterGroup& group : optimizer.groups()) {
    for (const at::Tensor& parameter : group.parameters) {
      if (parameter.grad().defined()) gradients.push_back(parameter.grad());
    }
  }
  return gradients;
}

at::Tensor norm_of(const std::vector<at::Tensor>& gradients) {
  return gradients.empty() ? at::zeros({}) : l2_norm(gradients);
}

}  // namespace

at::Tensor grad_norm(const Optimizer& optimizer) {
  const at::NoGradGuard no_grad;
  return norm_of(gradients_of(optimizer));
}

at::Tensor clip_grad_norm(Optimizer& optimizer, double max_norm) {
  at::Tensor norm = grad_norm(optimizer);
  scale_gradients(optimizer, clip_scale(norm, max_norm));
  return norm;
}

at::Tensor clip_scale(const at::Tensor& norm, double max_norm) {
  const at::NoGradGuard no_grad;
  return (max_norm / (norm + 1e-6)).clamp_max(1.0);
}

void scale_gradients(Optimizer& optimizer, const at::Tensor& scale) {
  if (gradients_of(optimizer).empty() || optimizer.scale_gradients(scale)) return;
  multiply_gradients(optimizer, scale);
}

void multiply_gradients(const Optimizer& optimizer, const at::Tensor& scale) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = gradients_of(optimizer);
  if (!gradients.empty()) at::_foreach_mul_(gradients, scale);
}

void clip_grad_value(const Optimizer& optimizer, double clip_value) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = gradients_of(optimizer);
  if (gradients.empty()) return;
  at::_foreach_clamp_min_(gradients, -clip_value);
  at::_foreach_clamp_max_(gradients, clip_value);
}

}  // namespace pergola::host
