// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/schedulers/warmup.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pergola::host {
namespace {

ParamSpec num_warmup_steps() {
  return {.name = "num_warmup_steps",
          .fallback = 0,
          .meaning = "updates in which the rate grows from 0",
          .low = 0};
}

ParamSpec num_training_steps() {
  return {.name = "num_training_steps",
          .fallback = {},
          .meaning = "the update at which it ends; the run's last one by default",
          .low = 1,
          .type = Value::Type::kInteger};
}

}  // namespace

WarmupScheduler::WarmupScheduler(const Config& params)
    : num_warmup_steps_(params.get<std::int64_t>("num_warmup_steps")),
      // A schedule that does not ask for it has no end.
      num_training_steps_(params.value().find("num_training_steps") == nullptr
                              ? INT64_MAX
                              : params.get<std::int64_t>("num_training_steps")) {}

double WarmupScheduler::factor(std::int64_t update) {
  const auto done = static_cast<double>(update - num_warmup_steps_);
  if (done < 0) return static_cast<double>(update) / static_cast<double>(num_warmup_steps_);
  const std::int64_t length = std::max<std::int64_t>(1, num_training_steps_ - num_warmup_steps_);
  return decay(std::min(done / static_cast<double>(length), 1.0));
}

ComponentSpec ConstantScheduler::spec() {
  return {.summary = "the rate itself, after a linear warm-up", .params = {num_warmup_steps()}};
}

double ConstantScheduler::decay(double /*progress*/) const { return 1; }

ComponentSpec WarmupLinearScheduler::spec() {
  return {.summary = "a linear warm-up, then linearly down to 0",
          .params = {num_warmup_steps(), num_training_steps()}};
}

double WarmupLinearScheduler::decay(double progress) const { return 1 - progress; }

ComponentSpec WarmupCosineScheduler::spec() {
  return {.summary = "a linear warm-up, then down to 0 along half a cosine",
          .params = {num_warmup_steps(),
                     num_training_steps(),
                     {.name = "num_cycles",
                      .fallback = 0.5,
                      .meaning = "waves of the cosine; half a one goes down once",
                      .low = 0}}};
}

WarmupCosineScheduler::WarmupCosineScheduler(const Config& params)
    : WarmupScheduler(params), num_cycles_(params.get<double>("num_cycles")) {}

double WarmupCosineScheduler::decay(double progress) const {
  return std::max(0.0, 0.5 * (1 + std::cos(2 * std::numbers::pi * num_cycles_ * progress)));
}

ComponentSpec CosineWithRestartsScheduler::spec() {
  return {.summary = "a linear warm-up, then num_cycles times down to 0 along half a cosine",
          .params = {num_warmup_steps(),
                     num_training_steps(),
                     {.name = "num_cycles",
                      .fallback = 1,
                      .meaning = "how often it goes down; before each but the first it jumps to 1",
                      .low = 1}}};
}

CosineWithRestartsScheduler::CosineWithRestartsScheduler(const Config& params)
    : WarmupScheduler(params), num_cycles_(params.get<std::int64_t>("num_cycles")) {}

double CosineWithRestartsScheduler::decay(double progress) const {
  if (progress >= 1) return 0;
  const double in_cycle = std::fmod(static_cast<double>(num_cycles_) * progress, 1.0);
  return 0.5 * (1 + std::cos(std::numbers::pi * in_cycle));
}

ComponentSpec PolynomialScheduler::spec() {
  return {.summary = "a linear warm-up, then down to end_factor along a power of what is left",
          .params = {num_warmup_steps(),
                     num_training_steps(),
                     {.name = "power", .fallback = 1.0, .meaning = "1: a line", .low = 0},
                     {.name = "end_factor",
                      .fallback = 0.0,
                      .meaning = "the part of the rate that it ends with",
                      .low = 0,
                      .high = 1}}};
}

PolynomialScheduler::PolynomialScheduler(const Config& params)
    : WarmupScheduler(params),
      power_(params.get<double>("power")),
      end_factor_(params.get<double>("end_factor")) {}

double PolynomialScheduler::decay(double progress) const {
  return (1 - end_factor_) * std::pow(1 - progress, power_) + end_factor_;
}

}  // namespace pergola::host
