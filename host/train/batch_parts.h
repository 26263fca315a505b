// SPDX-License-Identifier: BSD-3-Clause
// Batches in parts of fewer samples, for a memory that is too small for the whole
// (training.on_out_of_memory = "halve"). How many samples fit is learned by running out of memory,
// and kept. Borrows the model; training thread.
#pragma once

#include "pergola/base_model.h"
#include "pergola/model_output.h"
#include "pergola/sample_list.h"

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pergola::host {

// Rows `begin` to `end` of all fields, sharing their tensors. Reads where packed rows begin, and so
// waits for their device.  REQUIRES: 0 <= begin < end <= batch_size().
[[nodiscard]] SampleList rows_of(const SampleList& batch, std::int64_t begin, std::int64_t end);

// The output of the whole from those of its parts, of so many samples each: rows one after the
// other, losses as means over all samples. What has no row for each sample is the last part's. No
// gradient is recorded.  REQUIRES: as many outputs as sizes, at least one.
[[nodiscard]] ModelOutput join_outputs(const std::vector<ModelOutput>& parts,
                                       const std::vector<std::int64_t>& sizes);

class BatchSplitter {
 public:
  BatchSplitter(const BaseModel& model, c10::Device device) : model_(model), device_(device) {}

  // Is a batch of so many samples worked on in parts?
  [[nodiscard]] bool splits(std::int64_t samples) const { return most_ > 0 && samples > most_; }
  // Calls `work` with the parts of a batch, one after the other: most_samples() at most, and none
  // larger than another by more than one. What the model adds to a batch before it is copied to the
  // device (BaseModel::on_before_batch_transfer) it adds to each part anew.
  void for_each_part(const SampleList& batch,
                     const std::function<void(const SampleList& part)>& work);

  // step(batch), or the output of its parts where the batch is too large: in parts that become
  // smaller as long as memory runs out, with a warning each time. Throws what `step` throws, and
  // OutOfMemory where a single sample is too large.
  [[nodiscard]] ModelOutput run(const SampleList& batch,
                                const std::function<ModelOutput(const SampleList& part)>& step);

  // Memory ran out with so many samples at a time: from now on half of them. False, and nothing is
  // changed, where it was one.
  bool halve(std::int64_t samples);
  // 0: as many as a batch has.
  [[nodiscard]] std::int64_t most_samples() const noexcept { return most_; }
  void set_most_samples(std::int64_t samples) noexcept { most_ = samples; }

 private:
  [[nodiscard]] const std::vector<std::string>& own_fields(const SampleList& batch);

  const BaseModel& model_;
  c10::Device device_;
  std::int64_t most_ = 0;
  // By data set, the fields of a batch that the model did not add to it.
  std::map<std::string, std::vector<std::string>> own_fields_;
};

}  // namespace pergola::host
