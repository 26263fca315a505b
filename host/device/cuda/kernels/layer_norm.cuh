// SPDX-License-Identifier: BSD-3-Clause
// What the forward and the backward pass of LayerNorm share. Where rows are packs of eight numbers
// that begin at 16 bytes, and not too wide, a thread keeps its packs in registers; other rows are
// read again for each sweep, number by number.
#pragma once

#include "host/device/cuda/kernels/block_sum.cuh"
#include "host/device/cuda/kernels/layer_norm.h"
#include "host/device/cuda/kernels/random.cuh"
#include "host/device/cuda/kernels/vectors.cuh"

namespace pergola::cuda {

constexpr int kPack = 8;  // numbers that one draw of Philox decides
constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kMostBlocks = 1056;  // eight for each multiprocessor of the largest GPU of today

// Multiplies the pack that begins at `place`, in the flattened tensor, by its dropout mask.
__device__ inline void drop(const Dropout& dropout, const Philox& philox, std::int64_t place,
                            float (&pack)[kPack]) {
  const RandomBits bits = philox.draw(static_cast<std::uint64_t>(place / kPack));
#pragma unroll
  for (int i = 0; i < kPack; ++i) {
    pack[i] = bits.of(i) < dropout.threshold ? 0.0F : pack[i] * dropout.scale;
  }
}

// The same for one number.
__device__ inline float dropped(const Dropout& dropout, const Philox& philox, std::int64_t place,
                                float x) {
  const RandomBits bits = philox.draw(static_cast<std::uint64_t>(place / kPack));
  return bits.of(static_cast<int>(place % kPack)) < dropout.threshold ? 0.0F : x * dropout.scale;
}

template <class T>
struct Saved {
  T* sum;  // or null
  float* mean;
  float* rstd;
};

template <class T>
Saved<T> typed(const LayerNormSaved& saved) {
  return {static_cast<T*>(saved.sum), saved.mean, saved.rstd};
}

inline bool aligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
}

inline bool fits(const LayerNormShape& shape) {
  return shape.width % kPack == 0 && shape.width <= 4 * 32 * kPack;
}

}  // namespace pergola::cuda
