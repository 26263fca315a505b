// SPDX-License-Identifier: BSD-3-Clause
// A step of Adam or one of its kin for the parameters of all groups together. On a GPU: two kernels
// of libpergola_cuda, which read rates, counts and the gradients' factor from the device's memory,
// so that the step can be recorded in a CUDA graph; on the CPU, for comparison, LibTorch's
// operators. Owns the rates' memory; training thread.
#pragma once

#include "host/device/adam_rule.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace pergola::host {

class FusedAdam {
 public:
  using Rule = AdamRule;  // as adam.h and mmf_adam_w.h have them
  struct Options {        // of a group
    double beta1, beta2, eps, weight_decay;
  };
  // Parameter i, its gradient and state, all of one shape but for the step counts, and its group.
  // `squares` are Adamax's largest gradients.
  struct Batch {
    std::vector<at::Tensor> parameters, gradients, averages, squares, steps;
    std::vector<std::int64_t> groups;
  };

  FusedAdam(const std::vector<Options>& groups, Rule rule);

  // Whether this process has the kernels, and `parameter` with its gradient, if it has one, is for
  // them: dense float32 on a GPU, with a gradient in float32 or bfloat16.
  [[nodiscard]] static bool takes(const at::Tensor& parameter);
  // Whether what is asked of the device is recorded in a graph now, and does not run.
  [[nodiscard]] static bool is_recording(const at::Tensor& parameter);

  // The next step multiplies the gradients by this number, 0-d float32 on their device.
  void scale_next(at::Tensor scale) { scale_ = std::move(scale); }
  // The next step changes nothing where this number, 0-d float32 on their device, is not 0.
  void skip_next_where(at::Tensor flag) { skip_ = std::move(flag); }

  // `rates`: of each group. A recorded step does not write them; see write_rates().
  void step(const Batch& batch, const std::vector<double>& rates);
  // Writes the rates into the memory from which steps, and recorded ones, read them. Does not wait.
  void write_rates(const std::vector<double>& rates, c10::Device device);

 private:
  std::vector<double> options_;  // of each group: beta1, beta2, eps, weight decay
  Rule rule_;
  at::Tensor scale_;
  at::Tensor skip_;
  at::Tensor rates_;             // float64, one a group
  std::vector<double> written_;  // what they are
};

// The L2 norm of all numbers of the tensors together, 0-d on their device: on a GPU with two
// kernels, where the build has them, in an order of additions that does not change.
// REQUIRES: at least one tensor, all on one device.
[[nodiscard]] at::Tensor l2_norm(const std::vector<at::Tensor>& tensors);

}  // namespace pergola::host
