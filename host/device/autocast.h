// SPDX-License-Identifier: BSD-3-Clause
// In which number format an operation computes: autocast for bf16 and fp16, TF32 on a GPU. Weights,
// their gradients and the optimizer stay in float32.
#pragma once

#include "host/config/run_config.h"

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

namespace pergola::host {

// While it lives, operations of this thread on that kind of device choose their type by LibTorch's
// lists: products in the low precision, sums and losses in float32. kFp32 and kTf32 change nothing.
// Scopes nest; the end of one brings back what was there, and the end of the outermost drops the
// converted weights. One for each forward pass (backward passes follow it): an optimizer's step
// inside of one would not be seen by the converted weights.
class AutocastScope {
 public:
  AutocastScope(c10::Device device, Precision precision);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  const bool active_;
  const c10::DeviceType type_;
  bool was_enabled_ = false;
  bool onednn_before_ = true;
  c10::ScalarType dtype_before_ = c10::ScalarType::Undefined;
};

// May matrix products and convolutions in float32 round to TF32? For the whole process: yes with
// kTf32, no otherwise (LibTorch's own default for cuDNN is yes). Nothing on the CPU, which has no
// TF32. REQUIRES: CUDA is loaded where `device` is a GPU.
void apply_precision(Precision precision, c10::Device device);

}  // namespace pergola::host
