// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/cuda/kernels/chunks.cuh"
#include "host/device/cuda/kernels/copies.h"

#include <variant>

namespace pergola::cuda {
namespace {

constexpr int kFew = 32;  // pieces of one launch, as in adam.cu
constexpr std::int64_t kPack = sizeof(int4);

template <int kMost>
struct Arguments {
  Chunks<kMost> chunks;  // of packs, the last of a piece in part
  const char* from[kMost];
  char* into[kMost];
  std::int64_t bytes[kMost];
};
static_assert(sizeof(Arguments<static_cast<int>(Copies::kMost)>) <= 32764);

__device__ bool in_packs(const char* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % kPack == 0;
}

// Four reads are on their way at a time.
__device__ void copy_packs(const char* from, char* into, int packs) {
  constexpr int kAtOnce = 4;
  for (int begin = static_cast<int>(threadIdx.x); begin < packs; begin += kAtOnce * kChunkThreads) {
    int4 x[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int at = begin + k * kChunkThreads;
      if (at < packs) x[k] = __ldcs(reinterpret_cast<const int4*>(from) + at);
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int at = begin + k * kChunkThreads;
      if (at < packs) reinterpret_cast<int4*>(into)[at] = x[k];
    }
  }
}

template <int kMost>
__global__ void __launch_bounds__(kChunkThreads)
    copy_pieces(const __grid_constant__ Arguments<kMost> of) {
  const Chunk chunk = chunk_of(of.chunks, static_cast<int>(blockIdx.x));
  const std::int64_t begin = chunk.begin * kPack;
  const std::int64_t left = of.bytes[chunk.tensor] - begin;
  const std::int64_t bytes = left < chunk.count * kPack ? left : chunk.count * kPack;
  const char* const from = of.from[chunk.tensor] + begin;
  char* const into = of.into[chunk.tensor] + begin;
  std::int64_t done = 0;
  if (in_packs(from) && in_packs(into)) {
    copy_packs(from, into, static_cast<int>(bytes / kPack));
    done = bytes / kPack * kPack;
  }
  for (std::int64_t i = done + threadIdx.x; i < bytes; i += kChunkThreads) into[i] = from[i];
}

template <int kMost>
void fill(Arguments<kMost>& arguments, const std::vector<Copies::Piece>& pieces) {
  std::int64_t packs = 0;
  for (const Copies::Piece& piece : pieces) packs += (piece.bytes + kPack - 1) / kPack;
  arguments.chunks.size = chunk_size(packs);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    arguments.chunks.add((pieces[i].bytes + kPack - 1) / kPack);
    arguments.from[i] = static_cast<const char*>(pieces[i].from);
    arguments.into[i] = static_cast<char*>(pieces[i].into);
    arguments.bytes[i] = pieces[i].bytes;
  }
}

}  // namespace

struct Copies::Launch {
  std::variant<Arguments<kFew>, Arguments<static_cast<int>(Copies::kMost)>> arguments;
  void* pointers[1];
};

Copies::Copies(const std::vector<Piece>& pieces) : launch_(std::make_unique<Launch>()) {
  if (pieces.size() > kFew) launch_->arguments.emplace<1>();
  std::visit([&](auto& arguments) { fill(arguments, pieces); }, launch_->arguments);
}

Copies::~Copies() = default;

bool Copies::empty() const {
  return std::visit([](const auto& arguments) { return arguments.chunks.total() == 0; },
                    launch_->arguments);
}

void Copies::read(std::size_t i, const void* from) {
  std::visit([&](auto& arguments) { arguments.from[i] = static_cast<const char*>(from); },
             launch_->arguments);
}

cudaKernelNodeParams Copies::launch() {
  cudaKernelNodeParams params{};
  params.blockDim = dim3(kChunkThreads);
  params.kernelParams = launch_->pointers;
  std::visit(
      [&]<int kMostOfIt>(Arguments<kMostOfIt>& arguments) {
        params.func = reinterpret_cast<void*>(&copy_pieces<kMostOfIt>);
        params.gridDim = dim3(static_cast<unsigned>(arguments.chunks.total()));
        launch_->pointers[0] = &arguments;
      },
      launch_->arguments);
  return params;
}

}  // namespace pergola::cuda
