// SPDX-License-Identifier: BSD-3-Clause
// From a type that is known when the program runs to a template's. Host code of kernels.
#pragma once

#include "host/device/cuda/kernels/type.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace pergola::cuda {

// Calls `run` with a null pointer of the type's own kind.
template <class Run>
void with_type_of(Type type, Run run) {
  switch (type) {
    case Type::kFloat:
      return run(static_cast<float*>(nullptr));
    case Type::kHalf:
      return run(static_cast<__half*>(nullptr));
    case Type::kBFloat16:
      return run(static_cast<__nv_bfloat16*>(nullptr));
  }
}

}  // namespace pergola::cuda
