// SPDX-License-Identifier: BSD-3-Clause
// Losses of logits, both ways: the forward pass makes one number, the backward pass computes the
// gradient from the logits again. Sums are float32 within a row or a block and float64 over all, in
// an order that only depends on the shapes. Launches alone, on a stream; pointers are of the
// device. Legend: N = rows, C = classes.
#pragma once

#include "host/device/cuda/kernels/type.h"

#include <cuda_runtime_api.h>

#include <cstdint>

namespace pergola::cuda {

// How many numbers of workspace bce_forward() needs for `count` logits.
[[nodiscard]] int bce_parts(std::int64_t count);

// loss: the mean of the binary cross entropies of sigmoid(logits) against the targets.
void bce_forward(Type type, const void* logits, const float* targets, std::int64_t count,
                 float* workspace, float* loss, cudaStream_t stream);
// gradient, of the logits' type, from that of the loss, one number.
void bce_backward(Type type, const void* logits, const float* targets, std::int64_t count,
                  const float* loss_gradient, void* gradient, cudaStream_t stream);

// Logits [N, C] and what they are compared with. A class that is none of C, and not `ignored`, ends
// in an assertion of the device.
struct ClassRows {
  Type type;
  const void* logits;
  const std::int64_t* targets;  // [N]
  std::int64_t rows;            // N
  std::int64_t classes;         // C
  std::int64_t ignored;
};

// What the forward pass finds, of which the backward pass reads `tops` and `count`.
struct ClassLoss {
  float* tops;    // [N, 2]: the largest logit of a row, and log(sum of e^(logit - largest))
  float* losses;  // [N]: workspace
  float* count;   // one number: the rows that are not ignored, at least `least`
  float* loss;    // one number: the sum of the losses over that number
};

void cross_entropy_forward(const ClassRows& rows, float least, const ClassLoss& into,
                           cudaStream_t stream);
void cross_entropy_backward(const ClassRows& rows, const float* tops, const float* count,
                            const float* loss_gradient, void* gradient, cudaStream_t stream);

}  // namespace pergola::cuda
