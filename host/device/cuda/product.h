// SPDX-License-Identifier: BSD-3-Clause
// Matrix products of cuBLASLt, with what may stand around one in its epilogue. Those of float32 may
// round to TF32 where LibTorch's may. Runs on the current stream; used on the training thread and
// autograd's. Legend: M, N = rows and columns of the result, K = what is summed over.
#pragma once

#include <ATen/core/Tensor.h>

namespace pergola::cuda {

enum class Epilogue {
  kNone,
  kBias,      // + bias [N]
  kReluBias,  // relu(.. + bias)
  kGeluBias,  // gelu(.. + bias), by tanh's formula; aux [M, N] receives what goes into the gelu
};

// An operand as it lies in memory, dense, of two dimensions.
struct Operand {
  const at::Tensor& matrix;
  bool transposed = false;
};

struct EpilogueTensors {
  at::Tensor bias;
  at::Tensor aux;
};

// into = a b, or into += a b where `accumulate`. a [M, K] and b [K, N], in bfloat16, half or
// float32; into [M, N] in that type or in float32; bias and aux in a's. Returns false, and does
// nothing, where cuBLASLt has no such product.
[[nodiscard]] bool multiply(const Operand& a, const Operand& b, const at::Tensor& into,
                            bool accumulate, Epilogue epilogue, const EpilogueTensors& tensors);

// The same without an epilogue, which always works.
void multiply(const Operand& a, const Operand& b, const at::Tensor& into, bool accumulate);

}  // namespace pergola::cuda
