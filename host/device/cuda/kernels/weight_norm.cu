// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/kernels/block_sum.cuh"
#include "host/device/cuda/kernels/types.cuh"
#include "host/device/cuda/kernels/vectors.cuh"
#include "host/device/cuda/kernels/weight_norm.h"

#include <algorithm>

namespace pergola::cuda {
namespace {

constexpr int kPack = 8;
constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 1056;  // about as many as a large GPU has at once
constexpr int kCoefficients = 2;

struct Coefficients {
  float scale;  // of the gradient
  float along;  // of v
};
static_assert(sizeof(Coefficients) == kCoefficients * sizeof(float));

__device__ bool in_packs(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
}

// Calls `pack` for the begins of this thread's whole packs, of which there are none where pointers
// do not allow it, and `one` for the numbers that are left.
template <class Pack, class One>
__device__ void for_each(std::int64_t count, bool packed, Pack pack, One one) {
  const std::int64_t packs = packed ? count / kPack : 0;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = first; i < packs; i += step) pack(i * kPack);
  for (std::int64_t i = packs * kPack + first; i < count; i += step) one(i);
}

template <class T>
__global__ void __launch_bounds__(kThreads) scale(NormedWeight weight, T* into) {
  const float by = *weight.g / *weight.norm;
  for_each(
      weight.count, in_packs(weight.v) && in_packs(into),
      [&](std::int64_t at) {
        float numbers[kPack];
        load(weight.v + at, numbers);
#pragma unroll
        for (int i = 0; i < kPack; ++i) numbers[i] *= by;
        store(into + at, numbers);
      },
      [&](std::int64_t at) { into[at] = from_float<T>(weight.v[at] * by); });
}

__global__ void __launch_bounds__(kThreads)
    inner_product(NormedWeight weight, const float* gradient, float* parts) {
  float sums[kPack] = {};
  for_each(
      weight.count, in_packs(weight.v) && in_packs(gradient),
      [&](std::int64_t at) {
        float v[kPack];
        float d[kPack];
        load(weight.v + at, v);
        load(gradient + at, d);
#pragma unroll
        for (int i = 0; i < kPack; ++i) sums[i] = fmaf(v[i], d[i], sums[i]);
      },
      [&](std::int64_t at) { sums[0] = fmaf(weight.v[at], gradient[at], sums[0]); });
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPack; ++i) sum += sums[i];
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// One block.
__global__ void end_inner_product(NormedWeight weight, const float* parts, std::int64_t count,
                                  Coefficients* into, float* g_gradient) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    sum += static_cast<double>(parts[i]);
  }
  sum = sum_of_block(sum);
  if (threadIdx.x != 0) return;
  const double norm = *weight.norm;
  const double scale = *weight.g / norm;
  into->scale = static_cast<float>(scale);
  into->along = static_cast<float>(-scale * sum / (norm * norm));
  *g_gradient = static_cast<float>(sum / norm);
}

__global__ void __launch_bounds__(kThreads)
    to_gradient_of_v(NormedWeight weight, const Coefficients* by, float* gradient) {
  const float scale = by->scale;
  const float along = by->along;
  for_each(
      weight.count, in_packs(weight.v) && in_packs(gradient),
      [&](std::int64_t at) {
        float v[kPack];
        float d[kPack];
        load(weight.v + at, v);
        load(gradient + at, d);
#pragma unroll
        for (int i = 0; i < kPack; ++i) d[i] = fmaf(along, v[i], scale * d[i]);
        store(gradient + at, d);
      },
      [&](std::int64_t at) { gradient[at] = fmaf(along, weight.v[at], scale * gradient[at]); });
}

// Some packs a thread.
std::int64_t blocks_for(std::int64_t count, std::int64_t most) {
  constexpr std::int64_t kOfBlock = std::int64_t{kThreads} * kPack;
  return std::clamp<std::int64_t>((count + kOfBlock - 1) / kOfBlock, 1, most);
}

}  // namespace

void normed_weight(Type type, const NormedWeight& weight, void* into, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(blocks_for(weight.count, 2 * kMostBlocks));
  with_type_of(type, [&]<class T>(T*) {
    scale<T><<<blocks, kThreads, 0, stream>>>(weight, static_cast<T*>(into));
  });
}

std::int64_t normed_weight_workspace(std::int64_t count) {
  return kCoefficients + blocks_for(count, kMostBlocks);
}

void normed_weight_backward(const NormedWeight& weight, float* gradient, float* g_gradient,
                            float* workspace, cudaStream_t stream) {
  constexpr int kEndThreads = 1024;
  const std::int64_t parts = blocks_for(weight.count, kMostBlocks);
  auto* const coefficients = reinterpret_cast<Coefficients*>(workspace);
  float* const sums = workspace + kCoefficients;
  inner_product<<<static_cast<unsigned>(parts), kThreads, 0, stream>>>(weight, gradient, sums);
  end_inner_product<<<1, kEndThreads, 0, stream>>>(weight, sums, parts, coefficients, g_gradient);
  const auto blocks = static_cast<unsigned>(blocks_for(weight.count, 2 * kMostBlocks));
  to_gradient_of_v<<<blocks, kThreads, 0, stream>>>(weight, coefficients, gradient);
}

}  // namespace pergola::cuda
