// SPDX-License-Identifier: BSD-3-Clause
// Updates whose batches may be too large for the memory (training.on_out_of_memory = "halve"; ADR
// 33): where the copy of a batch, forward or backward runs out of it, the update is computed anew
// in parts of half as many samples, with the same random numbers, and its gradient is the mean over
// the same samples. Later batches are in parts from the start. Borrows its parts; training thread.
#pragma once

#include "host/device/device.h"
#include "host/train/batch_parts.h"
#include "host/train/step_result.h"
#include "pergola/base_model.h"

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace pergola::host {

class SplitStep {
 public:
  struct Work {
    // Forward and backward of samples that are 1 / `divisor` of the update, as part of the batch
    // with that number in the epoch.
    std::function<StepResult(const SampleList& part, std::int64_t batch_idx, double divisor)> pass;
    // Takes the result of the next part, or of a whole batch in place of its parts.
    std::function<void(StepResult)> take;
    // Makes the update begin anew: no gradients, the model's buffers and the loss scale as before.
    std::function<void()> restart;
    // Drops what is recorded for replays, for good. False where nothing was.
    std::function<bool()> drop_recordings;
  };
  // A micro-batch: its number in the update, how many there are, its number in the epoch.
  struct Place {
    std::int64_t number = 0;
    std::int64_t group_size = 1;
    std::int64_t batch_idx = 0;
  };

  SplitStep(const BaseModel& model, c10::Device device, Work work);

  // A batch for run(), which has it in parts where there is no room for it as a whole: then it
  // comes back as it is.
  [[nodiscard]] SampleList to_device(const SampleList& batch) { return splitter_.to_device(batch); }
  // Does `whole` where the batch is to be tried as a whole, or its parts. True where it was in
  // parts: `take` has their results, and output() is the batch's. Throws what they throw, and
  // OutOfMemory where a single sample is too large.
  bool run(const SampleList& batch, const Place& place, const std::function<void()>& whole);
  // Of the last batch that was done in parts.
  [[nodiscard]] ModelOutput output() const { return output_; }

  // Samples that are worked on at a time; 0: as many as a batch has.
  [[nodiscard]] std::int64_t most_samples() const noexcept { return splitter_.most_samples(); }
  void set_most_samples(std::int64_t samples) noexcept { splitter_.set_most_samples(samples); }

 private:
  // Of the update in hand; shares the tensors.
  struct Kept {
    SampleList batch;
    std::int64_t batch_idx;
  };

  void end_of(const Place& place);
  void run_in_parts(const Kept& kept, std::int64_t group_size);
  void make_room(const std::string& problem);

  BatchSplitter splitter_;
  c10::Device device_;
  Work work_;
  RngStates random_;  // at the begin of the update
  std::vector<Kept> kept_;
  ModelOutput output_;
};

}  // namespace pergola::host
