// SPDX-License-Identifier: BSD-3-Clause
// The tensors of a batch in a fixed order, so that two batches can be compared, and copied into
// each other, in a microsecond or two. Training thread.
#pragma once

#include "pergola/sample_list.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pergola::host {

struct BatchTensors {
  enum class Kind : std::uint8_t {
    kTensor,
    kPacked,
    kStrings,
    kStringLists,
    kList,
    kGroup,
    kGroupEnd
  };

  std::vector<std::string> names;   // of fields; a group's follow it, up to an empty one
  std::vector<Kind> kinds;          // one for each name
  std::vector<at::Tensor> tensors;  // one of a tensor, two of a packed field, shared with the batch
  std::string dataset_name;
  std::string dataset_type;

  // Of one data set, and alike in all but the numbers in the tensors and in strings.
  [[nodiscard]] bool is_like(const BatchTensors& other) const;
  // Why batches like it cannot be recorded for `device`: "its field 'boxes' is a list of tensors";
  // empty when they can.
  [[nodiscard]] std::string problem(c10::Device device) const;
};

// Reads batches. A SampleList does not say of which kind a field is, so that is found by trying,
// and remembered by the field's name.
class BatchReader {
 public:
  [[nodiscard]] BatchTensors read(const SampleList& batch);

 private:
  void read_fields(const SampleList& batch, const std::string& path, BatchTensors& into);
  [[nodiscard]] bool read_as(BatchTensors::Kind kind, const SampleList& batch,
                             const std::string& name, const std::string& path, BatchTensors& into);

  std::map<std::string, BatchTensors::Kind> kinds_;  // by "group.field"
};

// Memory for the batches of recorded updates, of which one runs at a time: batches of different
// shapes share it.
class BatchMemory {
 public:
  // Gives `batch` tensors in this memory, of the same shapes, and returns a batch of them, without
  // strings.  REQUIRES: batch.problem() is empty.
  [[nodiscard]] SampleList place(BatchTensors& batch);

 private:
  [[nodiscard]] at::Tensor place_tensor(std::size_t index, const at::Tensor& like);

  std::vector<at::Tensor> buffers_;  // 1-d; one that is too small is left to those who have it
};

// Copies what is in `from` into `to`, in one operation for each dtype; does not wait.  REQUIRES:
// they are alike, in this order.
void copy_tensors(const std::vector<at::Tensor>& from, const std::vector<at::Tensor>& to);

}  // namespace pergola::host
