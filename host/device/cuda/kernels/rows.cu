// SPDX-License-Identifier: BSD-3-Clause
#undef NDEBUG  // a row that does not exist ends in an assertion, as in LibTorch's own kernels
#include "host/device/cuda/kernels/rows.h"

#include <algorithm>
#include <cassert>

namespace pergola::cuda {
namespace {

constexpr int kThreads = 256;

// A thread has one unit of a row, and the same of other rows.
template <class Unit, bool kGather>
__global__ void copy(const Unit* from, Unit* to, Rows rows, std::int64_t units) {
  const std::int64_t all = rows.count * units;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < all;
       i += step) {
    const std::int64_t row = rows.numbers[i / units];
    const std::int64_t unit = i % units;
    assert(row < rows.height);
    if (kGather) {
      to[i] = row < 0 ? Unit{} : from[row * units + unit];
    } else if (row >= 0) {
      to[row * units + unit] = from[i];
    }
  }
}

template <bool kGather, class Unit>
void launch(const void* from, void* to, const Rows& rows, cudaStream_t stream) {
  const auto units = rows.width / static_cast<std::int64_t>(sizeof(Unit));
  const std::int64_t blocks = (rows.count * units + kThreads - 1) / kThreads;
  copy<Unit, kGather>
      <<<static_cast<unsigned>(std::min<std::int64_t>(blocks, 1 << 20)), kThreads, 0, stream>>>(
          static_cast<const Unit*>(from), static_cast<Unit*>(to), rows, units);
}

// In the largest units that rows and addresses are multiples of.
template <bool kGather>
void choose(const void* from, void* to, const Rows& rows, cudaStream_t stream) {
  const auto fits = [&](std::uintptr_t bytes) {
    return reinterpret_cast<std::uintptr_t>(from) % bytes == 0 &&
           reinterpret_cast<std::uintptr_t>(to) % bytes == 0 &&
           static_cast<std::uintptr_t>(rows.width) % bytes == 0;
  };
  if (fits(16)) return launch<kGather, uint4>(from, to, rows, stream);
  if (fits(4)) return launch<kGather, std::uint32_t>(from, to, rows, stream);
  if (fits(2)) return launch<kGather, std::uint16_t>(from, to, rows, stream);
  launch<kGather, std::uint8_t>(from, to, rows, stream);
}

}  // namespace

void gather_rows(const void* from, void* to, const Rows& rows, cudaStream_t stream) {
  choose<true>(from, to, rows, stream);
}

void scatter_rows(const void* from, void* to, const Rows& rows, cudaStream_t stream) {
  choose<false>(from, to, rows, stream);
}

}  // namespace pergola::cuda
