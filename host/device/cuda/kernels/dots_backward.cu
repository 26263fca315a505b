// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/kernels/column_sum.h"
#include "host/device/cuda/kernels/dots_backward.h"
#include "host/device/cuda/kernels/thin_sizes.cuh"
#include "host/device/cuda/kernels/vectors.cuh"

#include <algorithm>

namespace pergola::cuda {
namespace {

constexpr int kPack = 8;
constexpr int kWarps = 8;
constexpr int kColumns = 32 * kPack;  // of a block
constexpr int kAtOnce = 4;            // rows whose reads are on their way before the first is used
constexpr std::int64_t kMostParts = 512;
static_assert(kColumns == 32 * kWarps);  // at the end a thread for each

// A thread's pack of the columns of one sample.
template <int kVectors>
struct OfSample {
  float y[kVectors][kPack];
  float y_gradient[kVectors][kPack];
};

// The rows of one warp, which begin at `first`. Adds to y's gradient and to `sums`.
template <class T, int kVectors, bool kRelu>
__device__ void go_through(const DotsBackward& of, const ThinShape& shape, std::int64_t first,
                           std::int64_t column, OfSample<kVectors>& sample, float (&sums)[kPack]) {
  const T* const gradient = static_cast<const T*>(of.gradient);
  const std::int64_t end = first / shape.rows * shape.rows + shape.rows;
  for (std::int64_t row = first; row < end; row += kAtOnce * kWarps) {
    float x[kAtOnce][kPack] = {};
    float scales[kAtOnce][kVectors] = {};
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int64_t at = row + k * kWarps;
      if (at >= end) break;
      load(static_cast<const T*>(of.x) + at * shape.width + column, x[k]);
#pragma unroll
      for (int a = 0; a < kVectors; ++a) scales[k][a] = to_float(gradient[at * kVectors + a]);
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int64_t at = row + k * kWarps;
      if (at >= end) break;
      float z[kPack] = {};
#pragma unroll
      for (int a = 0; a < kVectors; ++a) {
#pragma unroll
        for (int i = 0; i < kPack; ++i) {
          z[i] = fmaf(scales[k][a], sample.y[a][i], z[i]);
          sample.y_gradient[a][i] = fmaf(scales[k][a], x[k][i], sample.y_gradient[a][i]);
        }
      }
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        z[i] = kRelu && x[k][i] <= 0 ? 0 : rounded<T>(z[i]);
        sums[i] += z[i];
      }
      store(static_cast<T*>(of.z_gradient) + at * shape.width + column, z);
    }
  }
}

// The sum over the block's warps of column threadIdx.x of theirs.
__device__ float sum_of_warps(const float (&own)[kPack], float (*shared)[kColumns]) {
  store(&shared[threadIdx.x / 32][threadIdx.x % 32 * kPack], own);
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) sum += shared[w][threadIdx.x];
  __syncthreads();
  return sum;
}

// A block has kColumns columns of every gridDim.x-th sample, a warp every kWarps-th of its rows.
template <class T, int kVectors, bool kRelu>
__global__ void __launch_bounds__(32 * kWarps)
    backward(const __grid_constant__ DotsBackward of, const __grid_constant__ ThinShape shape,
             float* parts) {
  __shared__ alignas(16) float shared[kWarps][kColumns];
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * kColumns;
  const std::int64_t column = begin + threadIdx.x % 32 * kPack;
  const std::int64_t own = begin + threadIdx.x;
  T* const y_gradient = static_cast<T*>(of.y_gradient);
  float sums[kPack] = {};
  for (std::int64_t b = blockIdx.x; b < shape.batch; b += gridDim.x) {
    OfSample<kVectors> sample = {};
    if (column < shape.width) {
#pragma unroll
      for (int a = 0; a < kVectors; ++a) {
        load(static_cast<const T*>(of.y) + (b * kVectors + a) * shape.width + column, sample.y[a]);
      }
      const std::int64_t warp = threadIdx.x / 32;
      if (warp < shape.rows) {
        go_through<T, kVectors, kRelu>(of, shape, b * shape.rows + warp, column, sample, sums);
      }
    }
#pragma unroll
    for (int a = 0; a < kVectors; ++a) {
      const float sum = sum_of_warps(sample.y_gradient[a], shared);
      if (own < shape.width) {
        y_gradient[(b * kVectors + a) * shape.width + own] = from_float<T>(sum);
      }
    }
  }
  const float sum = sum_of_warps(sums, shared);
  if (own < shape.width) parts[blockIdx.x * shape.width + own] = sum;
}

}  // namespace

int dots_backward_parts(const ThinShape& shape) {
  return static_cast<int>(std::min(shape.batch, kMostParts));
}

void dots_backward(Type type, DotsActivation activation, const DotsBackward& of,
                   const ThinShape& shape, float* workspace, cudaStream_t stream) {
  const int parts = dots_backward_parts(shape);
  const dim3 grid(static_cast<unsigned>(parts),
                  static_cast<unsigned>((shape.width + kColumns - 1) / kColumns));
  with_sizes(type, shape.vectors, [&](auto* typed, auto vectors) {
    using T = std::remove_pointer_t<decltype(typed)>;
    constexpr int kVectors = decltype(vectors)::value;
    if (activation == DotsActivation::kRelu) {
      backward<T, kVectors, true><<<grid, 32 * kWarps, 0, stream>>>(of, shape, workspace);
    } else {
      backward<T, kVectors, false><<<grid, 32 * kWarps, 0, stream>>>(of, shape, workspace);
    }
  });
  add_column_parts(workspace, parts, shape.width, of.sums, stream);
}

}  // namespace pergola::cuda
