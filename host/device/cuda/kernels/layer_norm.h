// SPDX-License-Identifier: BSD-3-Clause
// LayerNorm with what stands around it in a transformer, both ways. One pass over the memory; sums
// and statistics are float32; nothing depends on the order in which blocks run. Launches alone, on
// a stream; pointers are of the device. Legend: N = rows, D = width.
#pragma once

#include "host/device/cuda/kernels/random.h"
#include "host/device/cuda/kernels/type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace pergola::cuda {

// Sums over rows of tables: table k is [*, D] in float32 or, where `narrow`, in the result's type.
inline constexpr int kMostTables = 8;
struct Tables {
  int count = 0;
  const void* table[kMostTables] = {};
  bool narrow[kMostTables] = {};
  std::int64_t heights[kMostTables] = {};      // rows of each table
  const std::int64_t* rows[kMostTables] = {};  // [N] each, below the height; -1: nothing
};

struct LayerNormShape {
  std::int64_t rows;   // N
  std::int64_t width;  // D
  float eps;
};

// What the backward pass reads of the forward pass.
struct LayerNormSaved {
  void* sum;    // [N, D]: what was normalized, in the result's type
  float* mean;  // [N]
  float* rstd;  // [N]: 1 / the standard deviation
};

// y = layer_norm(residual + dropout(x)); x, residual, y [N, D] of `type`, residual may be null;
// weight and bias [D]. saved.sum is null where x itself is the sum.
void add_layer_norm_forward(Type type, const LayerNormShape& shape, const void* x,
                            const void* residual, const float* weight, const float* bias,
                            const Dropout& dropout, void* y, const LayerNormSaved& saved,
                            cudaStream_t stream);

// y = dropout(layer_norm(sum of the tables' rows)).
void embedding_layer_norm_forward(Type type, const LayerNormShape& shape, const Tables& tables,
                                  const float* weight, const float* bias, const Dropout& dropout,
                                  void* y, const LayerNormSaved& saved, cudaStream_t stream);

enum class DropoutPlace { kBefore, kAfter };  // the LayerNorm

struct LayerNormGradients {
  void* sum;         // [N, D]: of saved.sum
  void* x;           // [N, D]: of x, with kBefore; null where it is that of the sum
  float* weight;     // [D]
  float* bias;       // [D]
  float* workspace;  // [2, layer_norm_blocks(N), D]
};

[[nodiscard]] int layer_norm_blocks(std::int64_t rows);

// From the gradient of y [N, D].
void layer_norm_backward(Type type, const LayerNormShape& shape, const void* y_gradient,
                         const float* weight, const LayerNormSaved& saved, const Dropout& dropout,
                         DropoutPlace place, const LayerNormGradients& into, cudaStream_t stream);

// into[k][rows[k][n]] += gradient[n] for each table with a gradient (float32 [*, D], or null). The
// order of additions to one row changes from run to run.
void embedding_backward(Type type, const LayerNormShape& shape, const void* gradient,
                        const Tables& tables, float* const (&into)[kMostTables],
                        cudaStream_t stream);

}  // namespace pergola::cuda
