// SPDX-License-Identifier: BSD-3-Clause
// The learning rate of each update, as the schedule says. Borrows its parts. Training thread.
#pragma once

#include "host/support/hook.h"
#include "pergola/callback.h"
#include "pergola/optimizer.h"
#include "pergola/scheduler.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace pergola::host {

class LearningRate {
 public:
  // `scheduler`: null where the rate stays. `type` is its name, for messages; `criteria` which
  // number of a validation it observes.
  LearningRate(Optimizer& optimizer, Scheduler* scheduler, std::string type, std::string criteria);

  // Sets the rates of the update that follows `updates_done`. Throws Error{kConfig} for one that is
  // no number, or beyond all use.
  void set(std::int64_t updates_done);
  // Shows the schedule a validation.
  void observe(const Numbers& metrics);

  [[nodiscard]] bool is_scheduled() const noexcept { return scheduler_ != nullptr; }
  [[nodiscard]] Value state_dict() const;  // an empty table where the rate stays
  void load_state_dict(const Value& state);

 private:
  [[nodiscard]] Hook hook_of(std::string_view name) const;

  Optimizer& optimizer_;
  Scheduler* scheduler_;
  std::string type_;
  std::string criteria_;
};

}  // namespace pergola::host
