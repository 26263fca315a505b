// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/dataset.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

namespace pergola {

Dataset::Dataset() = default;
Dataset::~Dataset() = default;
Value Dataset::facts() const { return Value(Value::Table{}); }
std::vector<Value> Dataset::format_for_prediction(const Report& /*report*/) const { return {}; }

at::Tensor Dataset::probabilities(const at::Tensor& scores) const {
  return scores.to(at::kDouble).softmax(/*dim=*/1);
}

Value Dataset::state_dict() const { return {}; }

Sample Dataset::sample_from(const SampleInputs& /*inputs*/, Rng& /*rng*/) const {
  throw Error(ErrorKind::kConfig,
              "the data set makes no samples but its own; override state_dict() and sample_from() "
              "of pergola::Dataset in its plugin, or predict a split");
}

}  // namespace pergola
