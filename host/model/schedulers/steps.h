// SPDX-License-Identifier: BSD-3-Clause
// Schedules that go down in steps. Each is a pure function of the update number, so that it has no
// state to save. Where scheduler.interval is "epoch", an update here is an epoch.
#pragma once

#include "pergola/component.h"
#include "pergola/scheduler.h"

#include <cstdint>
#include <vector>

namespace pergola::host {

// pythia and multi_step (MMF's): from `warmup_factor` linearly to 1 over `warmup_iterations`
// updates (when `use_warmup`), then times `lr_ratio` at each of `lr_steps`. The host gives `pythia`
// the keys of these names in training.*. Bounds of numbers are checked where these have an effect:
// without warm-up or steps any number will do.
class StepsScheduler : public Scheduler {
 public:
  static ComponentSpec spec();
  explicit StepsScheduler(const Config& params);
  [[nodiscard]] double factor(std::int64_t update) override;

 private:
  std::vector<std::int64_t> lr_steps_;  // ascending
  double lr_ratio_;
  bool use_warmup_;
  double warmup_factor_;
  std::int64_t warmup_iterations_;
};

// multi_step: the same from its own parameters; warm-up must end before the first step.
class MultiStepScheduler final : public StepsScheduler {
 public:
  static ComponentSpec spec();
  explicit MultiStepScheduler(const Config& params);
};

// step: gamma^(update / step_size), rounded down; torch's StepLR.
class StepScheduler final : public Scheduler {
 public:
  static ComponentSpec spec();
  explicit StepScheduler(const Config& params);
  [[nodiscard]] double factor(std::int64_t update) override;

 private:
  std::int64_t step_size_;
  double gamma_;
};

// exponential: gamma^update; torch's ExponentialLR.
class ExponentialScheduler final : public Scheduler {
 public:
  static ComponentSpec spec();
  explicit ExponentialScheduler(const Config& params);
  [[nodiscard]] double factor(std::int64_t update) override;

 private:
  double gamma_;
};

}  // namespace pergola::host
