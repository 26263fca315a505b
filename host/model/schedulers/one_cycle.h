// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "pergola/component.h"
#include "pergola/scheduler.h"

#include <cstdint>
#include <vector>

namespace pergola::host {

// one_cycle: torch's OneCycleLR, whose max_lr is the base rate. From 1 / div_factor up to 1 in the
// first pct_start of num_training_steps (the run's length where the config does not say it), then
// down to 1 / (div_factor final_div_factor); with three_phase the way down is first as long as the
// one up, to 1 / div_factor, and then the rest. Only the rate is changed: the momentum is not
// cycled. A pure function of the update number.
class OneCycleScheduler final : public Scheduler {
 public:
  static ComponentSpec spec();
  explicit OneCycleScheduler(const Config& params);
  [[nodiscard]] double factor(std::int64_t update) override;

 private:
  struct Phase {
    double end_step;  // the last update of it
    double from;
    double to;
  };
  std::vector<Phase> phases_;
  bool linear_;
};

}  // namespace pergola::host
