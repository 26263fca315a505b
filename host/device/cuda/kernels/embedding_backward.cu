// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/kernels/layer_norm.cuh"
#include "host/device/cuda/kernels/types.cuh"

namespace pergola::cuda {
namespace {

// A thread has one column of kRowsOfBlock rows. Neighbours in a batch often read the same row of a
// table (the type of all regions, say), so a sum goes to memory only when the row changes.
constexpr int kRowsOfBlock = 64;
template <class T>
__global__ void scatter(LayerNormShape shape, const T* gradient, Tables tables, float* into0,
                        float* into1, float* into2, float* into3, float* into4, float* into5,
                        float* into6, float* into7) {
  float* const into[kMostTables] = {into0, into1, into2, into3, into4, into5, into6, into7};
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (column >= shape.width) return;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kRowsOfBlock;
  const std::int64_t end = begin + kRowsOfBlock < shape.rows ? begin + kRowsOfBlock : shape.rows;
  std::int64_t current[kMostTables];
  float sum[kMostTables];
#pragma unroll
  for (int k = 0; k < kMostTables; ++k) {
    current[k] = -1;
    sum[k] = 0;
  }
  for (std::int64_t n = begin; n < end; ++n) {
    const float g = to_float(gradient[n * shape.width + column]);
#pragma unroll
    for (int k = 0; k < kMostTables; ++k) {
      if (k >= tables.count || into[k] == nullptr) continue;
      const std::int64_t row = tables.rows[k][n];
      if (row != current[k]) {
        if (current[k] >= 0) atomicAdd(into[k] + current[k] * shape.width + column, sum[k]);
        current[k] = row;
        sum[k] = 0;
      }
      sum[k] += g;
    }
  }
#pragma unroll
  for (int k = 0; k < kMostTables; ++k) {
    if (k >= tables.count || into[k] == nullptr || current[k] < 0) continue;
    atomicAdd(into[k] + current[k] * shape.width + column, sum[k]);
  }
}

}  // namespace

void embedding_backward(Type type, const LayerNormShape& shape, const void* gradient,
                        const Tables& tables, float* const (&into)[kMostTables],
                        cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((shape.rows + kRowsOfBlock - 1) / kRowsOfBlock),
                  static_cast<unsigned>((shape.width + kThreads - 1) / kThreads));
  with_type_of(type, [&]<class T>(T*) {
    scatter<T><<<grid, kThreads, 0, stream>>>(shape, static_cast<const T*>(gradient), tables,
                                              into[0], into[1], into[2], into[3], into[4], into[5],
                                              into[6], into[7]);
  });
}

}  // namespace pergola::cuda
