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
#include <exception>
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
  // larger than another by more than one; on the device, wherever the batch is. What the model adds
  // to a batch before it is copied there (BaseModel::on_before_batch_transfer) it adds to each part
  // anew.
  void for_each_part(const SampleList& batch,
                     const std::function<void(const SampleList& part)>& work);

  // join_outputs() of the parts of `batch`; on the CPU where the batch is, for who compares the
  // two.
  [[nodiscard]] ModelOutput join(const SampleList& batch, const std::vector<ModelOutput>& parts,
                                 const std::vector<std::int64_t>& sizes) const;

  // step(batch), or the output of its parts, by join(), where the batch is too large: in parts that
  // become smaller as long as memory runs out, with a warning each time. Throws what `step` throws,
  // and OutOfMemory where a single sample is too large.
  [[nodiscard]] ModelOutput run(const SampleList& batch,
                                const std::function<ModelOutput(const SampleList& part)>& step);

  // A batch on the device; as it is where memory runs out, which begin_whole() tells.
  [[nodiscard]] SampleList to_device(const SampleList& batch);
  // Before the batch of the last to_device(), or one that was there, is worked on as a whole.
  // Throws OutOfMemory where there was no room for it.
  void begin_whole(const SampleList& batch);
  // Memory ran out: from now on half as many samples as those of the part, or the whole batch, that
  // was begun last. False, and nothing is changed, where that was one.
  bool halve();
  // Those samples.
  [[nodiscard]] std::int64_t tried() const noexcept { return tried_; }
  // 0: as many as a batch has.
  [[nodiscard]] std::int64_t most_samples() const noexcept { return most_; }
  void set_most_samples(std::int64_t samples) noexcept { most_ = samples; }

 private:
  [[nodiscard]] const std::vector<std::string>& own_fields_of(const SampleList& batch);

  const BaseModel& model_;
  c10::Device device_;
  std::int64_t most_ = 0;
  std::int64_t tried_ = 0;
  std::exception_ptr shortage_;  // of the last to_device()
  // By a batch's fields and data set: some splits have no targets.
  std::map<std::vector<std::string>, std::vector<std::string>> own_fields_;
};

}  // namespace pergola::host
