// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/optimizer.h"

#include "pergola/error.h"

namespace pergola {

Optimizer::Optimizer(std::vector<ParameterGroup> groups, std::vector<double> base_lr)
    : groups_(std::move(groups)), base_lr_(std::move(base_lr)) {
  PERGOLA_ASSERT(groups_.size() == base_lr_.size());
  for (const ParameterGroup& group : groups_) {
    PERGOLA_ASSERT(group.names.size() == group.parameters.size());
  }
}

Optimizer::~Optimizer() = default;

void Optimizer::zero_grad() {
  for (ParameterGroup& group : groups_) {
    for (at::Tensor& parameter : group.parameters) parameter.mutable_grad().reset();
  }
}

bool Optimizer::scale_gradients(const at::Tensor& /*scale*/) { return false; }
bool Optimizer::capturable() const { return false; }
void Optimizer::before_replay() {}

}  // namespace pergola
