// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/clip.h"

#include <ATen/ATen.h>

namespace pergola::host {

at::Tensor clip_grad_norm(const Optimizer& optimizer, double max_norm) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const ParameterGroup& group : optimizer.groups()) {
    for (const at::Tensor& parameter : group.parameters) {
      if (parameter.grad().defined()) gradients.push_back(parameter.grad());
    }
  }
  if (gradients.empty()) return at::zeros({});
  const at::Tensor norm = at::stack(at::_foreach_norm(gradients, 2)).norm(2);
  const at::Tensor scale = (max_norm / (norm + 1e-6)).clamp_max(1.0);
  at::_foreach_mul_(gradients, scale);
  return norm;
}

}  // namespace pergola::host
