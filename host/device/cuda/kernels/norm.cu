// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/kernels/block_sum.cuh"
#include "host/device/cuda/kernels/chunks.cuh"
#include "host/device/cuda/kernels/norm.h"
#include "host/device/cuda/kernels/vectors.cuh"

namespace pergola::cuda {
namespace {

constexpr int kFew = 32;  // tensors of one launch, as in adam.cu
constexpr int kMany = 1024;

template <int kMost>
struct Arguments {
  Chunks<kMost> chunks;
  float* parts;
  const void* values[kMost];
  Type types[kMost];
};
static_assert(sizeof(Arguments<kMany>) <= 32764);

// Of this thread's numbers. Four reads are on their way at a time.
template <class T>
__device__ float squares_of(const T* values, int count) {
  constexpr int kAtOnce = 4;
  float sums[4] = {};
  int done = 0;
  if (in_fours(values)) {
    const int packs = count / 4;
    for (int begin = static_cast<int>(threadIdx.x); begin < packs;
         begin += kAtOnce * kChunkThreads) {
      float x[kAtOnce][4] = {};
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const int at = begin + k * kChunkThreads;
        if (at < packs) read4(values + 4 * at, x[k]);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[i] = fmaf(x[k][i], x[k][i], sums[i]);
      }
    }
    done = packs * 4;
  }
  for (int i = done + static_cast<int>(threadIdx.x); i < count; i += kChunkThreads) {
    const float x = to_float(values[i]);
    sums[0] = fmaf(x, x, sums[0]);
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <int kMost>
__global__ void __launch_bounds__(kChunkThreads)
    sum_squares(const __grid_constant__ Arguments<kMost> of) {
  const Chunk chunk = chunk_of(of.chunks, static_cast<int>(blockIdx.x));
  const void* const values = of.values[chunk.tensor];
  float sum = 0;
  switch (of.types[chunk.tensor]) {
    case Type::kFloat:
      sum = squares_of(static_cast<const float*>(values) + chunk.begin, chunk.count);
      break;
    case Type::kHalf:
      sum = squares_of(static_cast<const __half*>(values) + chunk.begin, chunk.count);
      break;
    case Type::kBFloat16:
      sum = squares_of(static_cast<const __nv_bfloat16*>(values) + chunk.begin, chunk.count);
      break;
  }
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) of.parts[blockIdx.x] = sum;
}

__global__ void root_of_sum(const float* parts, std::int64_t count, float* into) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    sum += static_cast<double>(parts[i]);
  }
  sum = sum_of_block(sum);
  if (threadIdx.x == 0) *into = static_cast<float>(sqrt(sum));
}

int chunk_size(const std::vector<NormTensor>& tensors) {
  std::int64_t numbers = 0;
  for (const NormTensor& tensor : tensors) numbers += tensor.count;
  return cuda::chunk_size(numbers);
}

// Returns how many parts it makes.
template <int kMost>
int launch(const NormTensor* tensors, int count, int chunk, float* parts, cudaStream_t stream) {
  Arguments<kMost> arguments;
  arguments.chunks.size = chunk;
  arguments.parts = parts;
  for (int i = 0; i < count; ++i) {
    arguments.chunks.add(tensors[i].count);
    arguments.values[i] = tensors[i].values;
    arguments.types[i] = tensors[i].type;
  }
  const int total = arguments.chunks.total();
  if (total > 0) sum_squares<kMost><<<total, kChunkThreads, 0, stream>>>(arguments);
  return total;
}

}  // namespace

std::int64_t norm_parts(const std::vector<NormTensor>& tensors) {
  const int chunk = chunk_size(tensors);
  std::int64_t parts = 0;
  for (const NormTensor& tensor : tensors) parts += (tensor.count + chunk - 1) / chunk;
  return parts;
}

void norm(const std::vector<NormTensor>& tensors, float* workspace, float* into,
          cudaStream_t stream) {
  const int all = static_cast<int>(tensors.size());
  const int chunk = chunk_size(tensors);
  std::int64_t parts = 0;
  for (int begin = 0; begin < all; begin += kMany) {
    const int count = std::min(all - begin, kMany);
    const auto run = count <= kFew ? launch<kFew> : launch<kMany>;
    parts += run(tensors.data() + begin, count, chunk, workspace + parts, stream);
  }
  constexpr int kThreads = 1024;
  root_of_sum<<<1, kThreads, 0, stream>>>(workspace, parts, into);
}

}  // namespace pergola::cuda
