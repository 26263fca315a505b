// SPDX-License-Identifier: BSD-3-Clause
// Sums over log_softmax(scores), each as one node of autograd. torch's own operators would be a
// node each, and on a GPU these losses are as dear as their number of calls, not their arithmetic.
// Gradients, also second ones, reach the scores alone; everything else is the batch's and constant.
// Nothing here waits for a GPU.  Legend: B = batch, C = classes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace pergola::host {

// The sum of weights * log_softmax(scores, 1) - offset, divided by the divisor; a scalar. The sign
// is in the weights or in the divisor, where it costs nothing.
//   scores   [B, C], float32 or float64
//   weights  [B, C], of the same type
//   offset   [B, C], of the same type; none: 0
//   divisor  [] or, one for each row, [B], of the same type; [] may be on the CPU
[[nodiscard]] at::Tensor log_softmax_sum(const at::Tensor& scores, const at::Tensor& weights,
                                         const std::optional<at::Tensor>& offset,
                                         const at::Tensor& divisor);

}  // namespace pergola::host
