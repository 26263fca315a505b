// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/kernels/block_sum.cuh"
#include "host/device/cuda/kernels/thin_products.h"
#include "host/device/cuda/kernels/thin_sizes.cuh"
#include "host/device/cuda/kernels/vectors.cuh"

#include <algorithm>

namespace pergola::cuda {
namespace {

constexpr int kPack = 8;
constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kAtOnce = 4;    // reads on their way before the first is used
constexpr int kRowTile = 16;  // rows of a block of outer products

// A warp for each row.
template <class T, int kVectors>
__global__ void __launch_bounds__(kThreads)
    dots(const T* x, const T* y, T* into, const __grid_constant__ ThinShape shape) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (row >= shape.batch * shape.rows) return;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const T* const of_row = x + row * shape.width;
  const T* const of_sample = y + row / shape.rows * kVectors * shape.width;
  float sums[kVectors] = {};
  for (std::int64_t at = lane * kPack; at < shape.width; at += 32 * kPack * kAtOnce) {
    float packs[kAtOnce][kPack] = {};
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      if (at + k * 32 * kPack < shape.width) load(of_row + at + k * 32 * kPack, packs[k]);
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      if (at + k * 32 * kPack >= shape.width) break;
#pragma unroll
      for (int a = 0; a < kVectors; ++a) {
        float other[kPack];
        load(of_sample + a * shape.width + at + k * 32 * kPack, other);
#pragma unroll
        for (int i = 0; i < kPack; ++i) sums[a] += packs[k][i] * other[i];
      }
    }
  }
#pragma unroll
  for (int a = 0; a < kVectors; ++a) {
    const float sum = sum_of_warp(sums[a]);
    if (lane == 0) into[row * kVectors + a] = from_float<T>(sum);
  }
}

// Where a thread of a block with one group of columns of one sample is.
struct Columns {
  std::int64_t sample;
  std::int64_t first;

  __device__ Columns(std::int64_t block, std::int64_t width) {
    constexpr std::int64_t kOfBlock = kThreads * kPack;
    const std::int64_t groups = (width + kOfBlock - 1) / kOfBlock;
    sample = block / groups;
    first = block % groups * kOfBlock + static_cast<std::int64_t>(threadIdx.x) * kPack;
  }
};

template <int kVectors>
__device__ void add_scaled(float (&sums)[kVectors][kPack], const float (&weights)[kVectors],
                           const float (&pack)[kPack]) {
#pragma unroll
  for (int a = 0; a < kVectors; ++a) {
#pragma unroll
    for (int i = 0; i < kPack; ++i) sums[a][i] += weights[a] * pack[i];
  }
}

// A thread has a pack of a sample's columns, and goes through the rows.
template <class T, int kVectors>
__global__ void __launch_bounds__(kThreads)
    sums(const T* weights, const T* x, T* into, const __grid_constant__ ThinShape shape) {
  const Columns columns(blockIdx.x, shape.width);
  if (columns.first >= shape.width) return;
  const std::int64_t begin = columns.sample * shape.rows;
  float sum[kVectors][kPack] = {};
  for (std::int64_t row = 0; row < shape.rows; row += kAtOnce) {
    float packs[kAtOnce][kPack] = {};
    float scales[kAtOnce][kVectors] = {};
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      if (row + k >= shape.rows) break;
      load(x + (begin + row + k) * shape.width + columns.first, packs[k]);
#pragma unroll
      for (int a = 0; a < kVectors; ++a) {
        scales[k][a] = to_float(weights[(begin + row + k) * kVectors + a]);
      }
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) add_scaled(sum, scales[k], packs[k]);
  }
#pragma unroll
  for (int a = 0; a < kVectors; ++a) {
    store(into + (columns.sample * kVectors + a) * shape.width + columns.first, sum[a]);
  }
}

// A thread has a pack of a sample's columns in kRowTile of its rows, tile blockIdx.y.
template <class T, int kVectors>
__global__ void __launch_bounds__(kThreads)
    outer(const T* weights, const T* y, T* into, const __grid_constant__ ThinShape shape) {
  const Columns columns(blockIdx.x, shape.width);
  if (columns.first >= shape.width) return;
  float packs[kVectors][kPack];
#pragma unroll
  for (int a = 0; a < kVectors; ++a) {
    load(y + (columns.sample * kVectors + a) * shape.width + columns.first, packs[a]);
  }
  for (std::int64_t tile = static_cast<std::int64_t>(blockIdx.y) * kRowTile; tile < shape.rows;
       tile += static_cast<std::int64_t>(gridDim.y) * kRowTile) {
    const std::int64_t end = tile + kRowTile < shape.rows ? tile + kRowTile : shape.rows;
#pragma unroll 4
    for (std::int64_t row = tile; row < end; ++row) {
      const std::int64_t place = columns.sample * shape.rows + row;
      float sum[kPack] = {};
#pragma unroll
      for (int a = 0; a < kVectors; ++a) {
        const float scale = to_float(weights[place * kVectors + a]);
#pragma unroll
        for (int i = 0; i < kPack; ++i) sum[i] += scale * packs[a][i];
      }
      store(into + place * shape.width + columns.first, sum);
    }
  }
}

std::int64_t divided_up(std::int64_t x, std::int64_t by) { return (x + by - 1) / by; }

// One block for each group of columns of each sample.
unsigned column_blocks(const ThinShape& shape) {
  return static_cast<unsigned>(shape.batch * divided_up(shape.width, kThreads * kPack));
}

}  // namespace

void thin_dots(Type type, const void* x, const void* y, void* into, const ThinShape& shape,
               cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(divided_up(shape.batch * shape.rows, kWarps));
  with_sizes(type, shape.vectors, [&](auto* typed, auto vectors) {
    using T = std::remove_pointer_t<decltype(typed)>;
    dots<T, vectors.value><<<blocks, kThreads, 0, stream>>>(
        static_cast<const T*>(x), static_cast<const T*>(y), static_cast<T*>(into), shape);
  });
}

void thin_sums(Type type, const void* weights, const void* x, void* into, const ThinShape& shape,
               cudaStream_t stream) {
  with_sizes(type, shape.vectors, [&](auto* typed, auto vectors) {
    using T = std::remove_pointer_t<decltype(typed)>;
    sums<T, vectors.value><<<column_blocks(shape), kThreads, 0, stream>>>(
        static_cast<const T*>(weights), static_cast<const T*>(x), static_cast<T*>(into), shape);
  });
}

void thin_outer(Type type, const void* weights, const void* y, void* into, const ThinShape& shape,
                cudaStream_t stream) {
  constexpr std::int64_t kMostTiles = 1024;
  const auto tiles = static_cast<unsigned>(std::min(divided_up(shape.rows, kRowTile), kMostTiles));
  with_sizes(type, shape.vectors, [&](auto* typed, auto vectors) {
    using T = std::remove_pointer_t<decltype(typed)>;
    outer<T, vectors.value><<<dim3(column_blocks(shape), tiles), kThreads, 0, stream>>>(
        static_cast<const T*>(weights), static_cast<const T*>(y), static_cast<T*>(into), shape);
  });
}

}  // namespace pergola::cuda
