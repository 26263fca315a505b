// SPDX-License-Identifier: BSD-3-Clause
// A block has a row, which it reads once each way, in accesses of 16 bytes whatever the row's
// beginning is aligned to: a number of classes is odd as often as not.
#undef NDEBUG  // a class that does not exist ends in an assertion, as in LibTorch's own kernels
#include "host/device/cuda/kernels/block_sum.cuh"
#include "host/device/cuda/kernels/losses.h"
#include "host/device/cuda/kernels/types.cuh"
#include "host/device/cuda/kernels/vectors.cuh"

#include <cassert>
#include <cmath>

namespace pergola::cuda {
namespace {

// The sum of e^x so far, as sum * e^top. With no number but -inf the sum is 0.
struct ExpSum {
  float top = -INFINITY;
  float sum = 0;

  [[nodiscard]] __device__ static float shift_of(float top) {
    return top == -INFINITY ? 0.0F : top;  // -inf - -inf is no number
  }

  template <int kCount>
  __device__ void add(const float (&x)[kCount]) {
    float higher = top;
#pragma unroll
    for (int i = 0; i < kCount; ++i) higher = fmaxf(higher, x[i]);
    const float shift = shift_of(higher);
    sum *= __expf(top - shift);
#pragma unroll
    for (int i = 0; i < kCount; ++i) sum += __expf(x[i] - shift);
    top = higher;
  }

  __device__ void add(const ExpSum& other) {
    const float higher = fmaxf(top, other.top);
    const float shift = shift_of(higher);
    sum = sum * __expf(top - shift) + other.sum * __expf(other.top - shift);
    top = higher;
  }
};

__device__ ExpSum of_warp(ExpSum x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    x.add(ExpSum{__shfl_xor_sync(0xffffffffU, x.top, lanes),
                 __shfl_xor_sync(0xffffffffU, x.sum, lanes)});
  }
  return x;
}

// In thread 0.
template <int kThreads>
__device__ ExpSum of_block(ExpSum x) {
  x = of_warp(x);
  if constexpr (kThreads == 32) return x;
  __shared__ float tops[kThreads / 32];
  __shared__ float sums[kThreads / 32];
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (lane == 0) {
    tops[threadIdx.x / 32] = x.top;
    sums[threadIdx.x / 32] = x.sum;
  }
  __syncthreads();
  if (threadIdx.x >= 32) return x;
  return of_warp(lane < kThreads / 32 ? ExpSum{tops[lane], sums[lane]} : ExpSum{});
}

template <class T>
constexpr int kPack = 16 / sizeof(T);

// The part of a row that is packs: numbers `begin` to begin + kPack * packs.
struct Packs {
  std::int64_t begin;
  std::int64_t count;
};

template <class T>
__device__ Packs packs_of(const T* row, std::int64_t width) {
  const auto off = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(row) % 16);
  const std::int64_t begin = off == 0 ? 0 : (16 - off) / static_cast<std::int64_t>(sizeof(T));
  if (begin >= width) return {width, 0};
  return {begin, (width - begin) / kPack<T>};
}

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    row_losses(const T* logits, ClassRows of, float2* tops, float* losses) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t target = of.targets[row];
  if (target == of.ignored) {
    if (threadIdx.x == 0) losses[row] = 0;
    return;
  }
  assert(target >= 0 && target < of.classes && "a class number is none of the scores' classes");
  const T* const x = logits + row * of.classes;
  const Packs packs = packs_of(x, of.classes);
  ExpSum found;
  for (std::int64_t i = threadIdx.x; i < packs.begin; i += kThreads) {
    const float one[1] = {to_float(x[i])};
    found.add(one);
  }
  for (std::int64_t i = threadIdx.x; i < packs.count; i += kThreads) {
    float some[kPack<T>];
    load(x + packs.begin + i * kPack<T>, some);
    found.add(some);
  }
  const std::int64_t rest = packs.begin + packs.count * kPack<T>;
  for (std::int64_t i = rest + threadIdx.x; i < of.classes; i += kThreads) {
    const float one[1] = {to_float(x[i])};
    found.add(one);
  }
  found = of_block<kThreads>(found);
  if (threadIdx.x != 0) return;
  const float log_sum = logf(found.sum);
  tops[row] = make_float2(found.top, log_sum);
  losses[row] = log_sum - (to_float(x[target]) - found.top);
}

__global__ void mean_of_rows(const ClassRows of, float least, const float* losses, float* count,
                             float* loss) {
  double sum = 0;
  int counted = 0;
  for (std::int64_t row = threadIdx.x; row < of.rows; row += blockDim.x) {
    sum += static_cast<double>(losses[row]);
    counted += of.targets[row] == of.ignored ? 0 : 1;
  }
  sum = sum_of_block(sum);
  counted = sum_of_block(counted);
  if (threadIdx.x != 0) return;
  *count = fmaxf(static_cast<float>(counted), least);
  *loss = static_cast<float>(sum) / *count;
}

template <class T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    row_gradients(const T* logits, ClassRows of, const float2* tops, const float* count,
                  const float* loss_gradient, T* gradients) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t target = of.targets[row];
  const bool counts = target != of.ignored;
  const T* const x = logits + row * of.classes;
  T* const gradient = gradients + row * of.classes;
  const float factor = counts ? *loss_gradient / *count : 0.0F;
  const float2 top = counts ? tops[row] : make_float2(0, 0);
  const auto slope = [&](float logit, std::int64_t i) {
    const float p = __expf((logit - top.x) - top.y);
    return counts ? (i == target ? p - 1 : p) * factor : 0.0F;
  };
  const auto one = [&](std::int64_t i) { gradient[i] = from_float<T>(slope(to_float(x[i]), i)); };
  Packs packs = packs_of(x, of.classes);
  if (packs_of(gradient, of.classes).begin != packs.begin) packs = {of.classes, 0};
  for (std::int64_t i = threadIdx.x; i < packs.begin; i += kThreads) one(i);
  for (std::int64_t pack = threadIdx.x; pack < packs.count; pack += kThreads) {
    const std::int64_t i = packs.begin + pack * kPack<T>;
    float some[kPack<T>] = {};
    if (counts) load(x + i, some);
#pragma unroll
    for (int k = 0; k < kPack<T>; ++k) some[k] = slope(some[k], i + k);
    store(gradient + i, some);
  }
  const std::int64_t rest = packs.begin + packs.count * kPack<T>;
  for (std::int64_t i = rest + threadIdx.x; i < of.classes; i += kThreads) one(i);
}

// Calls `run` with as many threads as a row of that width keeps busy.
template <class Run>
void with_threads(std::int64_t classes, Run run) {
  if (classes <= 512) return run.template operator()<32>();
  if (classes <= 8192) return run.template operator()<256>();
  return run.template operator()<1024>();
}

}  // namespace

void cross_entropy_forward(const ClassRows& rows, float least, const ClassLoss& into,
                           cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(rows.rows);
  with_type_of(rows.type, [&]<class T>(T*) {
    with_threads(rows.classes, [&]<int kThreads>() {
      row_losses<T, kThreads>
          <<<blocks, kThreads, 0, stream>>>(static_cast<const T*>(rows.logits), rows,
                                            reinterpret_cast<float2*>(into.tops), into.losses);
    });
  });
  constexpr int kThreads = 1024;
  mean_of_rows<<<1, kThreads, 0, stream>>>(rows, least, into.losses, into.count, into.loss);
}

void cross_entropy_backward(const ClassRows& rows, const float* tops, const float* count,
                            const float* loss_gradient, void* gradient, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(rows.rows);
  with_type_of(rows.type, [&]<class T>(T*) {
    with_threads(rows.classes, [&]<int kThreads>() {
      row_gradients<T, kThreads><<<blocks, kThreads, 0, stream>>>(
          static_cast<const T*>(rows.logits), rows, reinterpret_cast<const float2*>(tops), count,
          loss_gradient, static_cast<T*>(gradient));
    });
  });
}

}  // namespace pergola::cuda
