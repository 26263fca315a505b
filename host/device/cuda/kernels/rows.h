// SPDX-License-Identifier: BSD-3-Clause
// Rows of a matrix, copied from or to numbered places; whatever is in them. Launches alone.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace pergola::cuda {

// to[i] = from[rows[i]], or zeros for -1; `width`: bytes of a row; rows [count].
void gather_rows(const void* from, void* to, const std::int64_t* rows, std::int64_t count,
                 std::int64_t width, cudaStream_t stream);

// to[rows[i]] = from[i], and nothing for -1.
void scatter_rows(const void* from, void* to, const std::int64_t* rows, std::int64_t count,
                  std::int64_t width, cudaStream_t stream);

}  // namespace pergola::cuda
