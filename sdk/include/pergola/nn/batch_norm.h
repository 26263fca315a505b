// SPDX-License-Identifier: BSD-3-Clause
// Batch norm that a training survives whose last batch is one sample. No state; thread-safe.
// Legend: B = batch, F = channels.
#pragma once

#include <ATen/ATen.h>

namespace pergola::nn {

// `norm` (a torch::nn::BatchNorm1d or 2d) of x [B, F, ...]. In training too, where `x` has one
// number a channel, the running statistics stand for those of the batch, as in evaluation, and stay
// as they are: one number has no variance, and torch's own norm ends the training with an error.
template <class BatchNorm>
[[nodiscard]] at::Tensor batch_norm(BatchNorm& norm, const at::Tensor& x) {
  if (!norm->is_training() || x.numel() != x.size(1)) return norm->forward(x);
  return at::batch_norm(x, norm->weight, norm->bias, norm->running_mean, norm->running_var,
                        /*training=*/false, /*momentum=*/0, norm->options.eps(),
                        /*cudnn_enabled=*/true);
}

}  // namespace pergola::nn
