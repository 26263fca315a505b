// SPDX-License-Identifier: BSD-3-Clause
// A Report is a batch with what the model made of it (MMF's Report, mmf/common/report.py): what
// metrics over a whole split and prediction files are made from. Owns its tensors; moved, never
// copied silently. Not thread-safe.
#pragma once

#include "pergola/model_output.h"
#include "pergola/sample_list.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pergola {

struct Report {
  SampleList batch;
  ModelOutput output;

  [[nodiscard]] std::int64_t batch_size() const { return batch.batch_size(); }

  // `scores`, or a field of the output, or of the batch: the first that has the name. Throws
  // Error{kData} that lists what there is.
  [[nodiscard]] PERGOLA_API const at::Tensor& tensor(std::string_view name) const;

  // All tensors on `device`, without gradients; what is there already is shared.
  [[nodiscard]] PERGOLA_API Report to(at::Device device) const;

  // The rows of all `reports` in the fields named, and the sum of each loss's means (MMF's
  // accumulate_tensor_fields_and_loss). Throws Error{kData} when a report lacks one of the fields,
  // or they do not fit.  REQUIRES: reports is not empty.
  [[nodiscard]] PERGOLA_API static Report concat(const std::vector<Report>& reports,
                                                 const std::vector<std::string>& fields);
};

}  // namespace pergola
