// SPDX-License-Identifier: BSD-3-Clause
// Gradient clipping by the global L2 norm or by value, without waiting for the device. Training
// thread.
#pragma once

#include "pergola/optimizer.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace pergola::host {

// Scales all gradients of the optimizer's parameters so that their L2 norm together is at most
// `max_norm` (torch.nn.utils.clip_grad_norm_). Returns the norm before, 0-d on the device.
at::Tensor clip_grad_norm(const Optimizer& optimizer, double max_norm);

// That norm alone; the gradients stay. 0-d on the device.
[[nodiscard]] at::Tensor grad_norm(const Optimizer& optimizer);

// Limits each number of those gradients to [-clip_value, clip_value]
// (torch.nn.utils.clip_grad_value_).
void clip_grad_value(const Optimizer& optimizer, double clip_value);

}  // namespace pergola::host
