// SPDX-License-Identifier: BSD-3-Clause
// The L2 norm of many tensors together. Sums are float32 within a chunk and float64 over all, in an
// order that only depends on the shapes. Launches alone, on a stream; pointers are of the device.
#pragma once

#include "host/device/cuda/kernels/type.h"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

namespace pergola::cuda {

struct NormTensor {
  Type type;
  const void* values;
  std::int64_t count;
};

// How many numbers of workspace norm() needs.
[[nodiscard]] std::int64_t norm_parts(const std::vector<NormTensor>& tensors);

// into: one number.
void norm(const std::vector<NormTensor>& tensors, float* workspace, float* into,
          cudaStream_t stream);

}  // namespace pergola::cuda
