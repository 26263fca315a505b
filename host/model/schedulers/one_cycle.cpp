// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/schedulers/one_cycle.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pergola::host {

ComponentSpec OneCycleScheduler::spec() {
  return {.summary =
              "up to the rate and down to almost nothing, as torch's OneCycleLR; the "
              "momentum is not cycled",
          .params = {{.name = "num_training_steps",
                      .fallback = {},
                      .meaning = "the update at which it ends; the run's last one by default",
                      .low = 1,
                      .type = Value::Type::kInteger},
                     {.name = "pct_start",
                      .fallback = 0.3,
                      .meaning = "the part of the updates that go up",
                      .low = 0,
                      .high = 1},
                     {.name = "anneal_strategy",
                      .fallback = "cos",
                      .meaning = "the way up and down: half a cosine, or a line",
                      .choices = {"cos", "linear"}},
                     {.name = "div_factor",
                      .fallback = 25.0,
                      .meaning = "it begins with the rate over this",
                      .low = 1},
                     {.name = "final_div_factor",
                      .fallback = 1e4,
                      .meaning = "and ends with that over this",
                      .low = 1},
                     {.name = "three_phase",
                      .fallback = false,
                      .meaning = "down as slowly as up, then on to the end"}}};
}

OneCycleScheduler::OneCycleScheduler(const Config& params)
    : linear_(params.get<std::string>("anneal_strategy") == "linear") {
  const auto steps = static_cast<double>(params.get<std::int64_t>("num_training_steps"));
  const double up = params.get<double>("pct_start") * steps;
  const double start = 1 / params.get<double>("div_factor");
  const double end = start / params.get<double>("final_div_factor");
  phases_.push_back({up - 1, start, 1});
  if (params.get<bool>("three_phase")) {
    phases_.push_back({2 * up - 2, 1, start});
    phases_.push_back({steps - 1, start, end});
  } else {
    phases_.push_back({steps - 1, 1, end});
  }
}

double OneCycleScheduler::factor(std::int64_t update) {
  const double step = std::min(static_cast<double>(update), phases_.back().end_step);
  double begin = 0;
  auto phase = phases_.begin();
  for (; step > phase->end_step && phase + 1 != phases_.end(); ++phase) begin = phase->end_step;
  const double length = phase->end_step - begin;
  const double done = length > 0 ? (step - begin) / length : 1.0;  // a phase of one update
  if (linear_) return phase->from + (phase->to - phase->from) * done;
  return phase->to + (phase->from - phase->to) / 2 * (std::cos(std::numbers::pi * done) + 1);
}

}  // namespace pergola::host
