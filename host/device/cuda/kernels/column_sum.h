// SPDX-License-Identifier: BSD-3-Clause
// The gradients of linear layers' biases. Launches alone.
#pragma once

#include "host/device/cuda/kernels/type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace pergola::cuda {

// Tensors [N, M] of one shape and type, and where their sums over N go.
inline constexpr int kMostSums = 4;
struct ColumnSums {
  int count = 0;
  const void* from[kMostSums] = {};
  float* into[kMostSums] = {};  // [M]
  // [N, count M] or null: receives the tensors, side by side.
  void* packed = nullptr;
};

// Parts of each sum that come first; a workspace has so many rows for each tensor.
[[nodiscard]] int column_sum_parts(std::int64_t rows, std::int64_t width);

// into[k][m] = the sum of from[k][n][m] over n, in float32 and in an order that is always the same.
// M is a multiple of 8, tensors are aligned to 16 bytes; workspace [count, parts, M].
void column_sums(Type type, const ColumnSums& sums, std::int64_t rows, std::int64_t width,
                 float* workspace, cudaStream_t stream);

// gradient *= gelu'(before), by tanh's formula, and result = gelu(before); the
// sums of the gradient as above, in the same pass. All [N, M], of half precision.
struct GeluGradient {
  void* gradient;
  const void* before;
  void* result;
};
void gelu_backward_sums(Type type, const GeluGradient& of, float* into, std::int64_t rows,
                        std::int64_t width, float* workspace, cudaStream_t stream);

// The same of a ReLU: into = of_result where result > 0, else 0. All [N, M]; `into` may be
// `of_result`.
struct ReluGradient {
  const void* of_result;
  const void* result;
  void* into;
};
void relu_backward_sums(Type type, const ReluGradient& of, float* into, std::int64_t rows,
                        std::int64_t width, float* workspace, cudaStream_t stream);

// into[m] = the sum of parts[k][m] over k < count, for kernels that make such parts; of several,
// whose parts lie one after the other.
void add_column_parts(const float* parts, int count, std::int64_t width, const ColumnSums& sums,
                      cudaStream_t stream);
void add_column_parts(const float* parts, int count, std::int64_t width, float* into,
                      cudaStream_t stream);

}  // namespace pergola::cuda
