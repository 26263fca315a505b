// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/scheduler.h"

namespace pergola {

Scheduler::Scheduler() = default;
Scheduler::~Scheduler() = default;

void Scheduler::observe(double /*criterion*/) {}
Value Scheduler::state_dict() const { return Value(Value::Table{}); }
void Scheduler::load_state_dict(const Value& /*state*/) {}

}  // namespace pergola
