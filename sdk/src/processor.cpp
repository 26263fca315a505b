// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/processor.h"

namespace pergola {

Processor::Processor() = default;
Processor::~Processor() = default;
void Processor::fit(const Strings& /*texts*/) {}
Value Processor::facts() const { return Value(Value::Table{}); }
Value Processor::state_dict() const { return {}; }
void Processor::load_state_dict(const Value& /*state*/) {}

}  // namespace pergola
