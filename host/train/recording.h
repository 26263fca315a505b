// SPDX-License-Identifier: BSD-3-Clause
// What recorded updates (recorded_step.h) and recorded predictions (recorded_forward.h) have in
// common. Plain functions; training thread.
#pragma once

#include "host/device/step_graph.h"
#include "pergola/model_output.h"

#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pergola::host {

struct RecordingAttempt {
  std::unique_ptr<RecordedWork> work;  // null: it cannot be recorded
  std::string problem;                 // why, in one sentence
};

// Records `work` with its inputs, which must draw no random numbers on the CPU where `device` is a
// GPU. Where it cannot be recorded, random numbers are as before, and whoever does it now draws the
// same. Throws nothing that `work` throws: it is the problem.
[[nodiscard]] RecordingAttempt try_to_record(GraphRecorder& recorder, c10::Device device,
                                             const std::function<void()>& work,
                                             const std::vector<at::Tensor>& inputs = {});

// The same numbers in memory of their own.
[[nodiscard]] ModelOutput copy_of(const ModelOutput& output);

}  // namespace pergola::host
