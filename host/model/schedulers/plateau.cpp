// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/schedulers/plateau.h"

#include "host/support/log.h"
#include "pergola/error.h"

#include <algorithm>
#include <cmath>

namespace pergola::host {
namespace {

const Value& require(const Value& state, const char* key) {
  const Value* value = state.find(key);
  if (value != nullptr) return *value;
  throw Error(ErrorKind::kCheckpoint, "the saved state of the scheduler has no ", key,
              "; the checkpoint is of another scheduler than reduce_on_plateau");
}

}  // namespace

ComponentSpec PlateauScheduler::spec() {
  return {.summary =
              "times factor when the validation's criterion stands still, as torch's "
              "ReduceLROnPlateau",
          .params = {{.name = "mode",
                      .fallback = "min",
                      .meaning = "what is better; training.early_stop.minimize says it by default",
                      .choices = {"min", "max"}},
                     {.name = "factor",
                      .fallback = 0.1,
                      .meaning = "what the rate is multiplied with, below 1",
                      .low = 0,
                      .high = 1},
                     {.name = "patience",
                      .fallback = 10,
                      .meaning = "validations without improvement that are put up with",
                      .low = 0},
                     {.name = "threshold",
                      .fallback = 1e-4,
                      .meaning = "what counts as an improvement on the best",
                      .low = 0},
                     {.name = "threshold_mode",
                      .fallback = "rel",
                      .meaning = "that as a part of the best, or as a difference",
                      .choices = {"rel", "abs"}},
                     {.name = "cooldown",
                      .fallback = 0,
                      .meaning = "validations after a reduction that are not counted",
                      .low = 0},
                     {.name = "min_factor",
                      .fallback = 0.0,
                      .meaning = "the least part of the rate",
                      .low = 0,
                      .high = 1}}};
}

PlateauScheduler::PlateauScheduler(const Config& params)
    : reduction_(params.get<double>("factor")),
      min_factor_(params.get<double>("min_factor")),
      patience_(params.get<std::int64_t>("patience")),
      cooldown_(params.get<std::int64_t>("cooldown")),
      threshold_(params.get<double>("threshold")),
      relative_(params.get<std::string>("threshold_mode") == "rel"),
      minimize_(params.get<std::string>("mode") == "min") {
  if (reduction_ == 1) throw params.error("factor", "must be below 1: it is to reduce the rate");
}

double PlateauScheduler::factor(std::int64_t /*update*/) { return factor_; }

bool PlateauScheduler::improves(double criterion) const {
  if (!std::isfinite(criterion)) return false;
  if (!best_) return true;
  const double change = minimize_ ? -threshold_ : threshold_;
  const double bar = relative_ ? *best_ * (1 + change) : *best_ + change;
  return minimize_ ? criterion < bar : criterion > bar;
}

void PlateauScheduler::observe(double criterion) {
  if (improves(criterion)) {
    best_ = criterion;
    bad_validations_ = 0;
  } else {
    ++bad_validations_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    bad_validations_ = 0;
  }
  if (bad_validations_ <= patience_) return;
  factor_ = std::max(factor_ * reduction_, min_factor_);
  cooldown_left_ = cooldown_;
  bad_validations_ = 0;
}

Value PlateauScheduler::state_dict() const {
  return Value::Table{{"factor", factor_},
                      {"best", best_ ? Value(*best_) : Value()},
                      {"bad_validations", bad_validations_},
                      {"cooldown_left", cooldown_left_}};
}

void PlateauScheduler::load_state_dict(const Value& state) {
  if (state.as_table().empty()) {
    log::warning(
        "[resume] the checkpoint has no state of scheduler reduce_on_plateau; it begins anew");
    return;
  }
  const Value& best = require(state, "best");
  factor_ = require(state, "factor").as_float();
  best_ = best.is_null() ? std::nullopt : std::optional<double>(best.as_float());
  bad_validations_ = require(state, "bad_validations").as_integer();
  cooldown_left_ = require(state, "cooldown_left").as_integer();
}

}  // namespace pergola::host
