// SPDX-License-Identifier: BSD-3-Clause
// Which fields of a batch are its own, and which a model added to it before it was copied to the
// device (BaseModel::on_before_batch_transfer). Nobody wrote that down, so the hook is asked.
#pragma once

#include "pergola/base_model.h"
#include "pergola/sample_list.h"

#include <string>
#include <vector>

namespace pergola::host {

// The fields from which the hook makes the others: a field is the model's where the hook adds it to
// a copy of the first sample that lacks it, and makes the same of the whole batch. Sorted. Throws
// Error{kPlugin} where the hook changes one of a batch's own, as it would do so a second time.
// REQUIRES: a sample.
[[nodiscard]] std::vector<std::string> own_fields(const BaseModel& model, const SampleList& batch);

}  // namespace pergola::host
