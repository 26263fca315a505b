// SPDX-License-Identifier: BSD-3-Clause
// Activation recompute (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016): a part
// of a model keeps its inputs alone, and what lies between is computed again in the backward pass.
// Less memory, about a third more time, the same numbers. Used on the training thread.
#pragma once

#include "pergola/export.h"

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace pergola::nn {

// part(input), of which only `input` is kept. The backward pass runs `part` a second time, with the
// random numbers and the autocast of the first, and gives gradients to `input` and to the
// parameters that `part` reads: bit for bit those without recompute, unless a parameter is read in
// several places, whose gradients are added in another order. Where no gradient is wanted it is
// part(input) and no more. The backward pass throws what `part` throws, and Error{kPlugin} for
// gradients of gradients and for those of chosen tensors alone (torch::autograd::grad).
// REQUIRES: `part` computes the same both times, so it changes nothing outside (running means would
// be updated twice) and draws from LibTorch's generators (cuDNN's dropout inside of an LSTM does
// not); it owns what it captures, or that outlives the backward pass; and it returns one
// floating-point tensor.  [train-thread]
[[nodiscard]] PERGOLA_API at::Tensor recompute(std::function<at::Tensor(const at::Tensor&)> part,
                                               const at::Tensor& input);

// The same for parts of several inputs, some of which may be undefined.  [train-thread]
[[nodiscard]] PERGOLA_API at::Tensor recompute(
    std::function<at::Tensor(const std::vector<at::Tensor>&)> part, std::vector<at::Tensor> inputs);

}  // namespace pergola::nn
