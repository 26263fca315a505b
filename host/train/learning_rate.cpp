// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/learning_rate.h"

#include "host/model/guard.h"
#include "host/model/optimizers/options.h"

#include <cmath>
#include <utility>

namespace pergola::host {

LearningRate::LearningRate(Optimizer& optimizer, Scheduler* scheduler, std::string type,
                           std::string criteria)
    : optimizer_(optimizer),
      scheduler_(scheduler),
      type_(std::move(type)),
      criteria_(std::move(criteria)) {}

Hook LearningRate::hook_of(std::string_view name) const { return {name, "scheduler", type_}; }

void LearningRate::set(std::int64_t updates_done) {
  if (scheduler_ == nullptr) return;
  const std::int64_t update = updates_done + 1;
  const double factor =
      guarded(hook_of("factor()"), [&] { return scheduler_->factor(updates_done); });
  optimizer_.set_lr_factor(factor);
  for (std::size_t group = 0; group < optimizer_.groups().size(); ++group) {
    const double rate = optimizer_.lr(group);
    if (std::abs(rate) <= kHighestOption) continue;  // not for NaN
    throw Error(ErrorKind::kConfig, "scheduler '", type_, "' makes the learning rate of update ",
                update, " ", rate, ", ", factor, " times optimizer.params.lr; expected at most ",
                kHighestOption, ": check scheduler.params");
  }
}

void LearningRate::observe(const Numbers& metrics) {
  const auto criterion = metrics.find(criteria_);
  if (scheduler_ == nullptr || criterion == metrics.end()) return;
  guarded(hook_of("observe()"), [&] { scheduler_->observe(criterion->second); });
}

Value LearningRate::state_dict() const {
  if (scheduler_ == nullptr) return Value::Table{};
  return guarded(hook_of("state_dict()"), [&] { return scheduler_->state_dict(); });
}

void LearningRate::load_state_dict(const Value& state) {
  if (scheduler_ == nullptr) return;
  guarded(hook_of("load_state_dict()"), [&] { scheduler_->load_state_dict(state); });
}

}  // namespace pergola::host
