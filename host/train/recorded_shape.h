// SPDX-License-Identifier: BSD-3-Clause
// What RecordedStep keeps of batches of one shape; for its two source files alone.
#pragma once

#include "host/train/recorded_step.h"

#include <memory>
#include <vector>

namespace pergola::host {

struct RecordedStep::Recording {
  BatchTensors shape;  // of such a batch; its tensors are those that the recordings read
  SampleList batch;    // of these tensors
  int warm_ups = 0;    // done, without being recorded: updates, or micro-batches that add up
  // One for each parameter: after the last of these; where gradients add up, of the recording.
  std::vector<bool> has_gradient;
  std::unique_ptr<RecordedWork> compute;
  std::unique_ptr<RecordedWork> apply;  // null where gradients add up
  std::unique_ptr<RecordedWork> noted;  // `compute` for those who replay by hand
  StepResult recorded;                  // what `compute` writes
  StepResult handed_out;                // copies of it, where hooks may keep them
  // That `compute` makes; undefined where there is none. Empty where gradients add up.
  std::vector<at::Tensor> gradients;
};

// Without the graph of the backward pass, whose nodes hold memory.
void detach_output(ModelOutput& output);

}  // namespace pergola::host
