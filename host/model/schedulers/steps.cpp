// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/schedulers/steps.h"

#include <algorithm>
#include <cmath>

namespace pergola::host {

ComponentSpec StepsScheduler::spec() {
  return {
      .summary =
          "MMF's: a warm-up, then times lr_ratio at each of lr_steps; from training.*, or "
          "scheduler.params over them",
      .params = {
          {.name = "lr_steps",
           .fallback = Value::Array{},
           .meaning = "the updates at which the rate is multiplied by lr_ratio",
           .low = 0},
          {.name = "lr_ratio", .fallback = 0.1, .meaning = "0 to 1, where there are lr_steps"},
          {.name = "use_warmup", .fallback = false, .meaning = "begin with a warm-up"},
          {.name = "warmup_factor",
           .fallback = 0.2,
           .meaning = "what that begins with; it ends with 1"},
          {.name = "warmup_iterations", .fallback = 1000, .meaning = "how many updates it takes"}}};
}

StepsScheduler::StepsScheduler(const Config& params)
    : lr_steps_(params.get<std::vector<std::int64_t>>("lr_steps")),
      lr_ratio_(params.get<double>("lr_ratio")),
      use_warmup_(params.get<bool>("use_warmup")),
      warmup_factor_(params.get<double>("warmup_factor")),
      warmup_iterations_(params.get<std::int64_t>("warmup_iterations")) {
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
    const double alpha = static_cast<double>(update) / static_cast<double>(warmup_iterations_);
    return warmup_factor_ * (1 - alpha) + alpha;
  }
  const auto passed = std::upper_bound(lr_steps_.begin(), lr_steps_.end(), update);
  return std::pow(lr_ratio_, static_cast<double>(passed - lr_steps_.begin()));
}

ComponentSpec MultiStepScheduler::spec() {
  ComponentSpec spec = StepsScheduler::spec();
  spec.summary = "pythia from its own params; the warm-up ends before the first of lr_steps";
  return spec;
}

MultiStepScheduler::MultiStepScheduler(const Config& params) : StepsScheduler(params) {
  const auto steps = params.get<std::vector<std::int64_t>>("lr_steps");
  const auto warmup = params.get<std::int64_t>("warmup_iterations");
  if (params.get<bool>("use_warmup") && !steps.empty() && warmup >= steps.front()) {
    throw params.error("warmup_iterations",
                       "is not below the first of lr_steps; the warm-up must end first");
  }
}

ComponentSpec StepScheduler::spec() {
  return {.summary = "times gamma after every step_size updates, as torch's StepLR",
          .params = {{.name = "step_size",
                      .fallback = {},
                      .meaning = "updates from one step down to the next",
                      .low = 1,
                      .type = Value::Type::kInteger,
                      .need = ParamSpec::Need::kRequired},
                     {.name = "gamma",
                      .fallback = 0.1,
                      .meaning = "what the rate is multiplied with",
                      .low = 0}}};
}

StepScheduler::StepScheduler(const Config& params)
    : step_size_(params.get<std::int64_t>("step_size")), gamma_(params.get<double>("gamma")) {}

double StepScheduler::factor(std::int64_t update) {
  const std::int64_t steps = update / step_size_;
  return std::pow(gamma_, static_cast<double>(steps));
}

ComponentSpec ExponentialScheduler::spec() {
  return {.summary = "times gamma after each update, as torch's ExponentialLR",
          .params = {{.name = "gamma",
                      .fallback = {},
                      .meaning = "what the rate is multiplied with",
                      .low = 0,
                      .type = Value::Type::kFloat,
                      .need = ParamSpec::Need::kRequired}}};
}

ExponentialScheduler::ExponentialScheduler(const Config& params)
    : gamma_(params.get<double>("gamma")) {}

double ExponentialScheduler::factor(std::int64_t update) {
  return std::pow(gamma_, static_cast<double>(update));
}

}  // namespace pergola::host
