// SPDX-License-Identifier: BSD-3-Clause
// One launch for many tensors: each is cut into chunks, a block has one of them. What a kernel
// knows of the tensors comes in its arguments, so nothing is copied to the device beforehand, and a
// graph keeps it. Device code, and what prepares it.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstdint>

namespace pergola::cuda {

inline constexpr int kChunkThreads = 256;

// The numbers of a chunk, where there are so many in all: a small model keeps all processors busy,
// too, and a large one has chunks that are worth a block.
[[nodiscard]] inline int chunk_size(std::int64_t numbers) {
  constexpr std::int64_t kLeast = std::int64_t{4} * kChunkThreads;
  constexpr std::int64_t kMost = 16384;
  constexpr std::int64_t kBlocks = 1056;  // eight for each multiprocessor of an H200
  return static_cast<int>(std::clamp(numbers / kBlocks / kLeast * kLeast, kLeast, kMost));
}

// Which chunks are whose, for at most kMost tensors.
template <int kMost>
struct Chunks {
  int size = 1;  // chunk_size()
  int tensors = 0;
  int first[kMost + 1] = {0};  // of each tensor, and their number at the end
  std::int64_t counts[kMost];

  void add(std::int64_t count) {
    counts[tensors] = count;
    first[tensors + 1] = first[tensors] + static_cast<int>((count + size - 1) / size);
    ++tensors;
  }
  [[nodiscard]] int total() const { return first[tensors]; }
};

struct Chunk {
  int tensor;
  std::int64_t begin;
  int count;
};

template <int kMost>
__device__ Chunk chunk_of(const Chunks<kMost>& chunks, int block) {
  int low = 0;
  int high = chunks.tensors;  // first[low] <= block < first[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (chunks.first[middle] <= block) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const std::int64_t begin = static_cast<std::int64_t>(block - chunks.first[low]) * chunks.size;
  const std::int64_t left = chunks.counts[low] - begin;
  return {low, begin, static_cast<int>(left < chunks.size ? left : chunks.size)};
}

// Four neighbours, which are not needed again soon: read and written past the caches' order.
__device__ inline void read4(const float* from, float (&into)[4]) {
  const float4 pack = __ldcs(reinterpret_cast<const float4*>(from));
  into[0] = pack.x;
  into[1] = pack.y;
  into[2] = pack.z;
  into[3] = pack.w;
}
__device__ inline void read4(const __nv_bfloat16* from, float (&into)[4]) {
  const uint2 pack = __ldcs(reinterpret_cast<const uint2*>(from));
  const auto low = *reinterpret_cast<const __nv_bfloat162*>(&pack.x);
  const auto high = *reinterpret_cast<const __nv_bfloat162*>(&pack.y);
  into[0] = __low2float(low);
  into[1] = __high2float(low);
  into[2] = __low2float(high);
  into[3] = __high2float(high);
}
__device__ inline void read4(const __half* from, float (&into)[4]) {
  const uint2 pack = __ldcs(reinterpret_cast<const uint2*>(from));
  const auto low = *reinterpret_cast<const __half2*>(&pack.x);
  const auto high = *reinterpret_cast<const __half2*>(&pack.y);
  into[0] = __low2float(low);
  into[1] = __high2float(low);
  into[2] = __low2float(high);
  into[3] = __high2float(high);
}
__device__ inline void write4(float* into, const float (&from)[4]) {
  __stcs(reinterpret_cast<float4*>(into), make_float4(from[0], from[1], from[2], from[3]));
}
// These are: a copy by the next forward pass, a gradient by the rest of the backward pass.
__device__ inline void write4(__nv_bfloat16* into, const float (&from)[4]) {
  const __nv_bfloat162 low = __floats2bfloat162_rn(from[0], from[1]);
  const __nv_bfloat162 high = __floats2bfloat162_rn(from[2], from[3]);
  *reinterpret_cast<uint2*>(into) = make_uint2(*reinterpret_cast<const unsigned*>(&low),
                                               *reinterpret_cast<const unsigned*>(&high));
}
__device__ inline void write4(__half* into, const float (&from)[4]) {
  const __half2 low = __floats2half2_rn(from[0], from[1]);
  const __half2 high = __floats2half2_rn(from[2], from[3]);
  *reinterpret_cast<uint2*>(into) = make_uint2(*reinterpret_cast<const unsigned*>(&low),
                                               *reinterpret_cast<const unsigned*>(&high));
}

// Whether four numbers that begin there can be one access.
template <class T>
__device__ bool in_fours(const T* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % (4 * sizeof(T)) == 0;
}

}  // namespace pergola::cuda
