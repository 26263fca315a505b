// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/kernels/column_sum.h"
#include "host/device/cuda/kernels/types.cuh"
#include "host/device/cuda/kernels/vectors.cuh"

#include <algorithm>

namespace pergola::cuda {
namespace {

constexpr int kPack = 8;
constexpr int kWarps = 8;
constexpr int kColumns = 32 * kPack;  // of a block
constexpr int kAtOnce = 4;            // rows whose reads are on their way before the first is used
constexpr int kBlocks = 528;          // about as many as a large GPU has at once

// Adds up the numbers of a tensor as they are.
template <class T>
struct Plain {
  const T* x;

  __device__ void read(std::int64_t place, float (&numbers)[kPack]) const {
    load(x + place, numbers);
  }
};

// Copies them side by side with those of other tensors.
template <class T>
struct Packing {
  const T* x;
  T* packed;  // where this tensor's first number goes
  std::int64_t width;
  std::int64_t packed_width;

  __device__ void read(std::int64_t place, float (&numbers)[kPack]) const {
    load(x + place, numbers);
    const std::int64_t row = place / width;
    store(packed + row * packed_width + place - row * width, numbers);
  }
};

// gelu(b) = b s(2 u), where s is the logistic function and u = a (b + c b^3), and d gelu(b) / db:
// tanh's formula, in whose terms 1 + tanh(u) = 2 s(2 u). The device's own exponential and division
// are right to 21 bits; the library's would take longer than the kernel's reads.
struct Gelu {
  float value;
  float slope;

  __device__ explicit Gelu(float b) {
    constexpr float kA = 0.7978845608F;  // sqrt(2 / pi)
    constexpr float kC = 0.044715F;
    const float s = __fdividef(1, 1 + __expf(-2 * kA * (b + kC * b * b * b)));
    value = b * s;
    slope = s + 2 * value * (1 - s) * kA * (1 + 3 * kC * b * b);
  }
};

// Puts them through a GELU's backward pass first.
template <class T>
struct ThroughGelu {
  T* gradient;
  const T* before;
  T* result;

  __device__ void read(std::int64_t place, float (&numbers)[kPack]) const {
    float b[kPack];
    load(gradient + place, numbers);
    load(before + place, b);
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      const Gelu gelu(b[i]);
      numbers[i] = rounded<T>(numbers[i] * gelu.slope);
      b[i] = gelu.value;
    }
    store(gradient + place, numbers);
    store(result + place, b);
  }
};

// Puts them through a ReLU's backward pass first, whose result was y. A NaN lets its gradient pass.
template <class T>
struct ThroughRelu {
  const T* gradient;
  const T* y;
  T* into;

  __device__ void read(std::int64_t place, float (&numbers)[kPack]) const {
    float results[kPack];
    load(gradient + place, numbers);
    load(y + place, results);
#pragma unroll
    for (int i = 0; i < kPack; ++i) numbers[i] = results[i] <= 0 ? 0 : numbers[i];
    store(into + place, numbers);
  }
};

// A block has kColumns columns of every gridDim.y-th group of kWarps rows. `parts`: [gridDim.y, M].
template <class Source>
__device__ void add_rows_of(const Source& source, std::int64_t rows, std::int64_t width,
                            float* parts) {
  __shared__ alignas(16) float sums[kWarps][kColumns];
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kColumns + lane * kPack;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * kWarps;
  float sum[kPack] = {};
  if (column < width) {
    for (std::int64_t row = blockIdx.y * kWarps + warp; row < rows; row += kAtOnce * step) {
      float some[kAtOnce][kPack] = {};
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if (row + k * step < rows) source.read((row + k * step) * width + column, some[k]);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
#pragma unroll
        for (int i = 0; i < kPack; ++i) sum[i] += some[k][i];
      }
    }
  }
  store(&sums[warp][lane * kPack], sum);
  __syncthreads();
  const std::int64_t place = static_cast<std::int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  if (place >= width) return;
  float total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) total += sums[w][threadIdx.x];
  parts[blockIdx.y * width + place] = total;
}
static_assert(kColumns == 32 * kWarps);  // a thread for each

// Tensor blockIdx.z of several.
template <class T>
__global__ void __launch_bounds__(32 * kWarps)
    add_rows(const __grid_constant__ ColumnSums of, std::int64_t rows, std::int64_t width,
             float* parts) {
  const T* const from = static_cast<const T*>(of.from[blockIdx.z]);
  float* const own_parts = gridDim.y == 1
                               ? of.into[blockIdx.z]
                               : parts + static_cast<std::int64_t>(blockIdx.z) * gridDim.y * width;
  if (of.packed == nullptr) {
    add_rows_of(Plain<T>{from}, rows, width, own_parts);
    return;
  }
  T* const packed = static_cast<T*>(of.packed) + blockIdx.z * width;
  add_rows_of(Packing<T>{from, packed, width, of.count * width}, rows, width, own_parts);
}

template <class Source>
__global__ void __launch_bounds__(32 * kWarps)
    add_rows_through(Source source, std::int64_t rows, std::int64_t width, float* parts) {
  add_rows_of(source, rows, width, parts);
}

// A block has 32 columns of tensor blockIdx.y, a warp every kPartWarps-th part of them.
constexpr int kPartWarps = 16;
__global__ void add_parts(const float* parts, int count, std::int64_t width,
                          const __grid_constant__ ColumnSums of) {
  __shared__ float sums[kPartWarps][32];
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * 32 + threadIdx.x;
  const float* const from = parts + static_cast<std::int64_t>(blockIdx.y) * count * width;
  float total = 0;
  if (column < width) {
#pragma unroll 4
    for (int part = static_cast<int>(threadIdx.y); part < count; part += kPartWarps) {
      total += from[part * width + column];
    }
  }
  sums[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  total = 0;
#pragma unroll
  for (int w = 0; w < kPartWarps; ++w) total += sums[w][threadIdx.x];
  of.into[blockIdx.y][column] = total;
}

std::int64_t column_blocks(std::int64_t width) { return (width + kColumns - 1) / kColumns; }

template <class Source>
void sums_through(const Source& source, float* into, std::int64_t rows, std::int64_t width,
                  float* workspace, cudaStream_t stream) {
  const int parts = column_sum_parts(rows, width);
  const dim3 grid(static_cast<unsigned>(column_blocks(width)), static_cast<unsigned>(parts));
  float* const first = parts == 1 ? into : workspace;
  add_rows_through<<<grid, 32 * kWarps, 0, stream>>>(source, rows, width, first);
  if (parts > 1) add_column_parts(workspace, parts, width, into, stream);
}

}  // namespace

// Of few rows one part, without a kernel that adds the parts.
int column_sum_parts(std::int64_t rows, std::int64_t width) {
  constexpr std::int64_t kFewRows = std::int64_t{4} * kWarps * kAtOnce;
  if (rows <= kFewRows) return 1;
  const std::int64_t most = std::max<std::int64_t>(kBlocks / column_blocks(width), 1);
  return static_cast<int>(std::clamp<std::int64_t>(rows / (kWarps * kAtOnce), 1, most));
}

void column_sums(Type type, const ColumnSums& sums, std::int64_t rows, std::int64_t width,
                 float* workspace, cudaStream_t stream) {
  const int parts = column_sum_parts(rows, width);
  const auto count = static_cast<unsigned>(sums.count);
  const dim3 grid(static_cast<unsigned>(column_blocks(width)), static_cast<unsigned>(parts), count);
  with_type_of(type, [&]<class T>(T*) {
    add_rows<T><<<grid, 32 * kWarps, 0, stream>>>(sums, rows, width, workspace);
  });
  if (parts > 1) add_column_parts(workspace, parts, width, sums, stream);
}

void add_column_parts(const float* parts, int count, std::int64_t width, const ColumnSums& sums,
                      cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((width + 31) / 32), static_cast<unsigned>(sums.count));
  add_parts<<<grid, dim3(32, kPartWarps), 0, stream>>>(parts, count, width, sums);
}

void add_column_parts(const float* parts, int count, std::int64_t width, float* into,
                      cudaStream_t stream) {
  ColumnSums sums;
  sums.count = 1;
  sums.into[0] = into;
  add_column_parts(parts, count, width, sums, stream);
}

void gelu_backward_sums(Type type, const GeluGradient& of, float* into, std::int64_t rows,
                        std::int64_t width, float* workspace, cudaStream_t stream) {
  with_type_of(type, [&]<class T>(T*) {
    sums_through(ThroughGelu<T>{static_cast<T*>(of.gradient), static_cast<const T*>(of.before),
                                static_cast<T*>(of.result)},
                 into, rows, width, workspace, stream);
  });
}

void relu_backward_sums(Type type, const ReluGradient& of, float* into, std::int64_t rows,
                        std::int64_t width, float* workspace, cudaStream_t stream) {
  with_type_of(type, [&]<class T>(T*) {
    sums_through(ThroughRelu<T>{static_cast<const T*>(of.of_result),
                                static_cast<const T*>(of.result), static_cast<T*>(of.into)},
                 into, rows, width, workspace, stream);
  });
}

}  // namespace pergola::cuda
