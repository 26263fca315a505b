// SPDX-License-Identifier: BSD-3-Clause
// One step of Adam or one of its kin for many parameters, and what belongs to it. Rates, counts and
// the gradients' factor are read from the device's memory, so a step can be recorded in a graph.
// Elementwise, so always the same numbers. Launches alone, on a stream; pointers are of the device.
#pragma once

#include "host/device/adam_rule.h"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

namespace pergola::cuda {

// A parameter and its state, `count` numbers each. With t steps, m' = m / (1 - beta1^t) and v' = v
// / (1 - beta2^t): parameter -= rate m' / (sqrt(v') + eps), or, with Adamax, rate m' / u.
struct AdamTensor {
  float* parameter;
  const void* gradient;  // float32 or, where `narrow`, bfloat16
  float* average;        // m, of the gradient
  float* square;         // v, of the gradient's square; or u = max(beta2 u, |gradient| + eps)
  void* copy;            // bfloat16: what the parameter became; or null
  float* step;           // t: one number, which counts one more
  const double* rate;    // one number
  std::int64_t count;
  bool narrow;
  double beta1, beta2, eps, weight_decay;
};

inline constexpr int kAdamWorkspace = 8;  // numbers for each tensor

// What is the same for all tensors of a step.
struct AdamStep {
  AdamRule rule;
  const float* scale;  // one number, by which each gradient is multiplied; or null
  const float* skip;   // one number: where it is not 0, nothing changes; or null
};

// `workspace`: float32 [tensors, kAdamWorkspace].
void adam(const std::vector<AdamTensor>& tensors, const AdamStep& of, float* workspace,
          cudaStream_t stream);

// Writes numbers into the device's memory; they come in the launch, so they may go at once.
void write_numbers(const std::vector<double>& numbers, double* into, cudaStream_t stream);

}  // namespace pergola::cuda
