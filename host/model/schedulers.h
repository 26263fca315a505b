// SPDX-License-Identifier: BSD-3-Clause
// The learning-rate schedules that Pergola brings: MMF's four. Each is a pure function of the
// update number, so that it has no state to save.
#pragma once

#include "pergola/scheduler.h"

#include <cstdint>
#include <vector>

namespace pergola::host {

// pythia and multi_step: from `warmup_factor` linearly to 1 over `warmup_iterations` updates (when
// `use_warmup`), then times `lr_ratio` at each of `lr_steps`. The host gives `pythia` the keys of
// these names in training.*. warmup_iterations >= 1, warmup_factor and lr_ratio from 0 to 1,
// checked where they have an effect: without warm-up or steps any number will do.
class StepsScheduler : public Scheduler {
 public:
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
  explicit MultiStepScheduler(const Config& params);
};

// warmup_linear: up from 0 over num_warmup_steps, down to 0 at num_training_steps (default: the
// run's number of updates).
class WarmupLinearScheduler final : public Scheduler {
 public:
  explicit WarmupLinearScheduler(const Config& params);
  [[nodiscard]] double factor(std::int64_t update) override;

 private:
  std::int64_t num_warmup_steps_;
  std::int64_t num_training_steps_;
};

// warmup_cosine: the same with `num_cycles` (default 0.5) waves of a cosine instead of the line.
class WarmupCosineScheduler final : public Scheduler {
 public:
  explicit WarmupCosineScheduler(const Config& params);
  [[nodiscard]] double factor(std::int64_t update) override;

 private:
  std::int64_t num_warmup_steps_;
  std::int64_t num_training_steps_;
  double num_cycles_;
};

}  // namespace pergola::host
