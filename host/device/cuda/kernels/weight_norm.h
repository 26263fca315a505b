// SPDX-License-Identifier: BSD-3-Clause
// Weight normalization over a whole matrix: W = s v, s = g / ||v||. Launches alone; pointers are of
// the device, g and the norm single numbers.
#pragma once

#include "host/device/cuda/kernels/type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace pergola::cuda {

struct NormedWeight {
  const float* v;
  const float* g;
  const float* norm;  // of v, from norm()
  std::int64_t count;
};

// into = g v / ||v||, in a type of its own.
void normed_weight(Type type, const NormedWeight& weight, void* into, cudaStream_t stream);

// How many numbers of workspace normed_weight_backward() needs.
[[nodiscard]] std::int64_t normed_weight_workspace(std::int64_t count);

// With d the inner product of W's gradient and v, turns that gradient into v's, in place:
// s (gradient - d v / ||v||^2); and g's is d / ||v||. Sums are float32 within a block and float64
// over all, in an order that only depends on the size.
void normed_weight_backward(const NormedWeight& weight, float* gradient, float* g_gradient,
                            float* workspace, cudaStream_t stream);

}  // namespace pergola::cuda
