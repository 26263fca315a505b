// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/schedulers.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pergola::host {
namespace {

// The share of the updates after warm-up that is done; 0 .. 1.
double progress_after(std::int64_t update, std::int64_t warmup, std::int64_t total) {
  const auto done = static_cast<double>(update - warmup);
  return std::min(done / static_cast<double>(std::max<std::int64_t>(1, total - warmup)), 1.0);
}

double warmup_progress(std::int64_t update, std::int64_t warmup) {
  return static_cast<double>(update) / static_cast<double>(std::max<std::int64_t>(1, warmup));
}

}  // namespace

StepsScheduler::StepsScheduler(const Config& params)
    : lr_steps_(params.get<std::vector<std::int64_t>>("lr_steps", {})),
      lr_ratio_(params.get<double>("lr_ratio", 0.1)),
      use_warmup_(params.get<bool>("use_warmup", false)),
      warmup_factor_(params.get<double>("warmup_factor", 0.2)),
      warmup_iterations_(params.get<std::int64_t>("warmup_iterations", 1000)) {
  params.allow_only({"lr_steps", "lr_ratio", "use_warmup", "warmup_factor", "warmup_iterations"});
  if (!std::is_sorted(lr_steps_.begin(), lr_steps_.end())) {
    throw params.error("lr_steps", "is not in ascending order");
  }
  // Bounds hold where a number has an effect.
  if (!lr_steps_.empty()) static_cast<void>(params.get_float("lr_ratio", lr_ratio_, 0.0, 1.0));
  if (use_warmup_) {
    static_cast<void>(params.get_float("warmup_factor", warmup_factor_, 0.0, 1.0));
    static_cast<void>(params.get_integer("warmup_iterations", warmup_iterations_, 1));
  }
}

double StepsScheduler::factor(std::int64_t update) {
  if (use_warmup_ && update <= warmup_iterations_) {
    const double alpha = warmup_progress(update, warmup_iterations_);
    return warmup_factor_ * (1 - alpha) + alpha;
  }
  const auto passed = std::upper_bound(lr_steps_.begin(), lr_steps_.end(), update);
  return std::pow(lr_ratio_, static_cast<double>(passed - lr_steps_.begin()));
}

MultiStepScheduler::MultiStepScheduler(const Config& params) : StepsScheduler(params) {
  const auto steps = params.get<std::vector<std::int64_t>>("lr_steps", {});
  const auto warmup = params.get<std::int64_t>("warmup_iterations", 1000);
  if (params.get<bool>("use_warmup", false) && !steps.empty() && warmup >= steps.front()) {
    throw params.error("warmup_iterations",
                       "is not below the first of lr_steps; the warm-up must end first");
  }
}

WarmupLinearScheduler::WarmupLinearScheduler(const Config& params)
    : num_warmup_steps_(params.get_integer("num_warmup_steps", 0, 0)),
      num_training_steps_(params.get<std::int64_t>("num_training_steps")) {
  params.allow_only({"num_warmup_steps", "num_training_steps"});
}

double WarmupLinearScheduler::factor(std::int64_t update) {
  if (update < num_warmup_steps_) return warmup_progress(update, num_warmup_steps_);
  return 1 - progress_after(update, num_warmup_steps_, num_training_steps_);
}

WarmupCosineScheduler::WarmupCosineScheduler(const Config& params)
    : num_warmup_steps_(params.get_integer("num_warmup_steps", 0, 0)),
      num_training_steps_(params.get<std::int64_t>("num_training_steps")),
      num_cycles_(params.get<double>("num_cycles", 0.5)) {
  params.allow_only({"num_warmup_steps", "num_training_steps", "num_cycles"});
}

double WarmupCosineScheduler::factor(std::int64_t update) {
  if (update < num_warmup_steps_) return warmup_progress(update, num_warmup_steps_);
  const double done = progress_after(update, num_warmup_steps_, num_training_steps_);
  return std::max(0.0, 0.5 * (1 + std::cos(2 * std::numbers::pi * num_cycles_ * done)));
}

}  // namespace pergola::host
