// SPDX-License-Identifier: BSD-3-Clause
// Rows of a matrix, copied from or to numbered places; whatever is in them. Launches alone.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace pergola::cuda {

// `count` rows of `width` bytes and their numbers, each below `height` or -1.
struct Rows {
  const std::int64_t* numbers;
  std::int64_t count;
  std::int64_t height;
  std::int64_t width;
};

// to[i] = from[rows[i]], or zeros for -1; from has `height` rows.
void gather_rows(const void* from, void* to, const Rows& rows, cudaStream_t stream);

// to[rows[i]] = from[i], and nothing for -1; to has `height` rows.
void scatter_rows(const void* from, void* to, const Rows& rows, cudaStream_t stream);

}  // namespace pergola::cuda
