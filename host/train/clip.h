// SPDX-License-Identifier: BSD-3-Clause
// Gradient clipping by the global L2 norm or by value, without waiting for the device. Training
// thread.
#pragma once

#include "pergola/optimizer.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace pergola::host {

// Makes the optimizer's next step one with gradients whose L2 norm together is at most `max_norm`
// (torch.nn.utils.clip_grad_norm_). Returns the norm before, 0-d on the device.
at::Tensor clip_grad_norm(Optimizer& optimizer, double max_norm);

// The two halves of it: what the gradients of such a norm are to be multiplied by, min(1, max_norm
// / (norm + 1e-6)), 0-d on the device; and multiplying them. Where the optimizer does that itself
// (Optimizer::scale_gradients), it is left to its next step, and they stay as they are.
[[nodiscard]] at::Tensor clip_scale(const at::Tensor& norm, double max_norm);
void scale_gradients(Optimizer& optimizer, const at::Tensor& scale);
// Multiplies them at once, for those who read them before the step.
void multiply_gradients(const Optimizer& optimizer, const at::Tensor& scale);

// That norm alone; the gradients stay. 0-d on the device.
[[nodiscard]] at::Tensor grad_norm(const Optimizer& optimizer);

// Limits each number of those gradients to [-clip_value, clip_value]
// (torch.nn.utils.clip_grad_value_).
void clip_grad_value(const Optimizer& optimizer, double clip_value);

}  // namespace pergola::host
