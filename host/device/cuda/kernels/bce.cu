// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/kernels/block_sum.cuh"
#include "host/device/cuda/kernels/chunks.cuh"
#include "host/device/cuda/kernels/losses.h"
#include "host/device/cuda/kernels/types.cuh"
#include "host/device/cuda/kernels/vectors.cuh"

#include <algorithm>

namespace pergola::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostBlocks = 1056;  // eight for each multiprocessor of the largest GPU of today

int blocks_of(std::int64_t count) {
  constexpr std::int64_t kOfBlock = kThreads * 4;
  return static_cast<int>(std::min<std::int64_t>((count + kOfBlock - 1) / kOfBlock, kMostBlocks));
}

// Where this thread begins, and how far it goes at a time.
struct Walk {
  std::int64_t begin;
  std::int64_t stride;
};
__device__ Walk walk() {
  return {static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x,
          static_cast<std::int64_t>(gridDim.x) * kThreads};
}

// -t log(p) - (1 - t) log(1 - p) without overflow, for p = sigmoid(x).
__device__ float entropy(float x, float t) {
  return fmaxf(x, 0.0F) - x * t + log1pf(__expf(-fabsf(x)));
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    bce_sums(const T* logits, const float* targets, std::int64_t count, float* parts) {
  const auto [begin, stride] = walk();
  std::int64_t packs = 0;
  float sum = 0;
  if (in_fours(logits) && in_fours(targets)) packs = count / 4;
  for (std::int64_t pack = begin; pack < packs; pack += stride) {
    float x[4];
    float t[4];
    read4(logits + 4 * pack, x);
    read4(targets + 4 * pack, t);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum += entropy(x[i], t[i]);
  }
  for (std::int64_t i = 4 * packs + begin; i < count; i += stride) {
    sum += entropy(to_float(logits[i]), targets[i]);
  }
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

__global__ void mean_of_parts(const float* parts, int blocks, std::int64_t count, float* into) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < blocks; i += static_cast<int>(blockDim.x)) {
    sum += static_cast<double>(parts[i]);
  }
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) *into = static_cast<float>(sum / static_cast<double>(count));
}

__device__ float slope(float x, float t) { return 1.0F / (1.0F + __expf(-x)) - t; }

template <class T>
__global__ void __launch_bounds__(kThreads)
    bce_gradients(const T* logits, const float* targets, std::int64_t count,
                  const float* loss_gradient, T* gradient) {
  const auto [begin, stride] = walk();
  const float factor = *loss_gradient / static_cast<float>(count);
  std::int64_t packs = 0;
  if (in_fours(logits) && in_fours(targets) && in_fours(gradient)) packs = count / 4;
  for (std::int64_t pack = begin; pack < packs; pack += stride) {
    float x[4];
    float t[4];
    read4(logits + 4 * pack, x);
    read4(targets + 4 * pack, t);
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = slope(x[i], t[i]) * factor;
    write4(gradient + 4 * pack, x);
  }
  for (std::int64_t i = 4 * packs + begin; i < count; i += stride) {
    gradient[i] = from_float<T>(slope(to_float(logits[i]), targets[i]) * factor);
  }
}

}  // namespace

int bce_parts(std::int64_t count) { return blocks_of(count); }

void bce_forward(Type type, const void* logits, const float* targets, std::int64_t count,
                 float* workspace, float* loss, cudaStream_t stream) {
  const int blocks = blocks_of(count);
  with_type_of(type, [&]<class T>(T*) {
    bce_sums<T>
        <<<blocks, kThreads, 0, stream>>>(static_cast<const T*>(logits), targets, count, workspace);
  });
  mean_of_parts<<<1, kThreads, 0, stream>>>(workspace, blocks, count, loss);
}

void bce_backward(Type type, const void* logits, const float* targets, std::int64_t count,
                  const float* loss_gradient, void* gradient, cudaStream_t stream) {
  with_type_of(type, [&]<class T>(T*) {
    bce_gradients<T><<<blocks_of(count), kThreads, 0, stream>>>(
        static_cast<const T*>(logits), targets, count, loss_gradient, static_cast<T*>(gradient));
  });
}

}  // namespace pergola::cuda
