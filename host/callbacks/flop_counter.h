// SPDX-License-Identifier: BSD-3-Clause
// Counts the floating-point operations of what LibTorch computes, from the shapes that its matrix
// operators are called with: a multiplication and an addition are two. Counted are matrix products,
// convolutions, fused attention and recurrent layers, forward and backward, which is all but a few
// percent of a model; element-wise work and normalisation are not. Attention counts as its matrix
// products, without those that a fused kernel does over again in the backward pass.
//
//   Linear [B, I] -> [B, O], forward 2 B I O; backward 4 B I O: the gradients of input and weight
#pragma once

#include <ATen/record_function.h>

#include <cstdint>

namespace pergola::host {

// Counts from its construction on, what the thread does that made it and what the backward passes
// do that this thread starts. One at a time in a process. An operator costs about a microsecond
// more meanwhile; numbers are the same.  [train-thread]
class FlopCounter {
 public:
  FlopCounter();
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;
  ~FlopCounter();

  [[nodiscard]] std::int64_t flops() const noexcept;

 private:
  at::CallbackHandle handle_;
};

}  // namespace pergola::host
