// SPDX-License-Identifier: BSD-3-Clause
// Numbers of a row in a thread's registers, as float32 whatever their type in memory. Device code.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace pergola::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

// What x is once it was written to memory as a T.
template <class T>
__device__ float rounded(float x) {
  return to_float(from_float<T>(x));
}

// kCount neighbours, read and written in accesses of 16 bytes.
template <class T, int kCount>
struct alignas(16) Pack {
  static_assert(kCount * sizeof(T) % 16 == 0);
  T values[kCount];
};

template <class T, int kCount>
__device__ void load(const T* from, float (&into)[kCount]) {
  const auto pack = *reinterpret_cast<const Pack<T, kCount>*>(from);
#pragma unroll
  for (int i = 0; i < kCount; ++i) into[i] = to_float(pack.values[i]);
}

template <class T, int kCount>
__device__ void store(T* into, const float (&from)[kCount]) {
  Pack<T, kCount> pack;
#pragma unroll
  for (int i = 0; i < kCount; ++i) pack.values[i] = from_float<T>(from[i]);
  *reinterpret_cast<Pack<T, kCount>*>(into) = pack;
}

}  // namespace pergola::cuda
