// SPDX-License-Identifier: BSD-3-Clause
// Sums over a block's threads, always in the same order. Device code.
#pragma once

namespace pergola::cuda {

template <class T>
__device__ T sum_of_warp(T x) {
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffU, x, lanes);
  return x;
}

// The sum, in thread 0.  REQUIRES: blocks of whole warps; once in a kernel for each T.
template <class T>
__device__ T sum_of_block(T x) {
  __shared__ T sums[32];
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  x = sum_of_warp(x);
  if (lane == 0) sums[warp] = x;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x / 32);
  return warp == 0 ? sum_of_warp(lane < warps ? sums[lane] : T(0)) : T(0);
}

}  // namespace pergola::cuda
