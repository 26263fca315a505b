// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/dataset.h"

namespace pergola {

Dataset::Dataset() = default;
Dataset::~Dataset() = default;
Value Dataset::facts() const { return Value(Value::Table{}); }
std::vector<Value> Dataset::format_for_prediction(const Report& /*report*/) const { return {}; }

}  // namespace pergola
