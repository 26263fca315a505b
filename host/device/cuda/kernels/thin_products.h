// SPDX-License-Identifier: BSD-3-Clause
// Products of batches of matrices of which one side is a few numbers, which general products read
// at a third of the memory's speed. Launches alone.
// Legend: B = batch, R = rows of a sample, A = vectors of a sample, few, D = width.
#pragma once

#include "host/device/cuda/kernels/type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace pergola::cuda {

inline constexpr std::int64_t kMostVectors = 4;

// REQUIRES: A is at most kMostVectors, D a multiple of 8; none is 0. All that follow are of one
// type, dense, and begin at 16 bytes; sums are in float32, always in the same order.
struct ThinShape {
  std::int64_t batch;
  std::int64_t rows;
  std::int64_t vectors;
  std::int64_t width;
};

// into [B, R, A] = x [B, R, D] times y [B, A, D], summed over D
void thin_dots(Type type, const void* x, const void* y, void* into, const ThinShape& shape,
               cudaStream_t stream);

// into [B, A, D] = weights [B, R, A] times x [B, R, D], summed over R
void thin_sums(Type type, const void* weights, const void* x, void* into, const ThinShape& shape,
               cudaStream_t stream);

// into [B, R, D] = weights [B, R, A] times y [B, A, D], summed over A
void thin_outer(Type type, const void* weights, const void* y, void* into, const ThinShape& shape,
                cudaStream_t stream);

}  // namespace pergola::cuda
