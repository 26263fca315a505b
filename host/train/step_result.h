// SPDX-License-Identifier: BSD-3-Clause
// What the first half of an update hands to the hooks and to its second half, the optimizer's step.
#pragma once

#include "host/train/meter.h"
#include "pergola/model_output.h"

#include <ATen/core/Tensor.h>

namespace pergola::host {

struct StepResult {
  ModelOutput output;  // of the last micro-batch
  LossMeans means;     // of its losses, for the meter
  at::Tensor norm;     // of all gradients before they are clipped; undefined where nobody needs it
  at::Tensor scale;    // what the step has to multiply them by; undefined: nothing
};

}  // namespace pergola::host
