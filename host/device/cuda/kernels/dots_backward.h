// SPDX-License-Identifier: BSD-3-Clause
// The backward pass of thin dots of rows that a linear layer has made, down to the layer's product.
// Launches alone.
// Legend: B = batch, R = rows of a sample, A = vectors of a sample, few, D = width.
#pragma once

#include "host/device/cuda/kernels/thin_products.h"

namespace pergola::cuda {

enum class DotsActivation { kNone, kRelu };

// Of dots [B, R, A] of rows x [B, R, D] = activation(z) with vectors y [B, A, D].
struct DotsBackward {
  const void* gradient;  // [B, R, A]
  const void* x;
  const void* y;
  void* z_gradient;  // [B, R, D]
  void* y_gradient;  // [B, A, D]
  float* sums;       // [D]: of z's gradient over all rows, which is that of a bias
};

// Parts of these sums that come first; a workspace is [parts, D].
[[nodiscard]] int dots_backward_parts(const ThinShape& shape);

// Reads x and writes z's gradient once.  REQUIRES: as ThinShape.
void dots_backward(Type type, DotsActivation activation, const DotsBackward& of,
                   const ThinShape& shape, float* workspace, cudaStream_t stream);

}  // namespace pergola::cuda
