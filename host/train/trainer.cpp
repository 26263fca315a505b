// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/trainer.h"

#include "host/device/device.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "host/train/evaluation.h"
#include "host/train/weight_average.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace pergola::host {

Trainer::Trainer(TrainerParts parts, const TrainerOptions& options, TrainerState state)
    : parts_(std::move(parts)),
      options_(options),
      state_(std::move(state)),
      rate_(parts_.optimizer, parts_.scheduler, options.scheduler, options.criteria),
      evaluation_(options.evaluation_interval, updates_per_epoch(), Interval::Zero::kEndOfEpoch) {
  state_.max_updates = options_.max_updates;
  state_.model = &parts_.model;
  if (options_.precision == Precision::kFp16) scaler_.emplace(parts_.device);
  if (options_.halves_batches) split_ = make_split_step();
}

Trainer::~Trainer() = default;

std::int64_t Trainer::updates_per_epoch() const {
  return updates_in_epoch(parts_.batches.num_batches(), options_.update_frequency);
}

Hook Trainer::hook_of_model(std::string_view name) const {
  return {name, "model", key_of(parts_.model)};
}

Hook Trainer::hook_of_optimizer(std::string_view name) const {
  return {name, "optimizer", options_.optimizer};
}

void Trainer::add_callback(std::string key, std::unique_ptr<Callback> callback) {
  callbacks_.add(std::move(key), std::move(callback));
}

void Trainer::call(const char* name, CallbackHook hook) {
  notify(name, [hook](Callback& callback, TrainerState& state) { (callback.*hook)(state); });
}

void Trainer::report_exception(const std::string& message) noexcept {
  if (!std::exchange(reported_, true)) callbacks_.on_exception(state_, message);
}

void Trainer::tear_down() noexcept { callbacks_.teardown(state_); }

Outcome Trainer::run() {
  PERGOLA_ASSERT(parts_.batches.num_batches() > 0);
  const UpdateScope training;
  try {
    watch_.emplace(options_.detect_anomaly);
    if (options_.steps_may_be_skipped || scaler_ || split_) buffers_.emplace(parts_.model);
    begin_recording();
    const Outcome outcome = [&] {
      try {
        return loop();
      } catch (...) {
        throw_device_error(Hook{"the training"});
        throw;
      }
    }();
    watch_.reset();
    end_recording();
    return outcome;
  } catch (const std::exception& error) {
    watch_.reset();
    end_recording();
    report_exception(error.what());
    throw;
  }
}

Outcome Trainer::loop() {
  parts_.model.train();
  begin_ = std::chrono::steady_clock::now();
  evaluation_.start();
  times_.restart();
  call("on_train_start", &Callback::on_train_start);
  if (validation_pending_) {
    UpdateScope::set(state_.progress.update);
    complete_update();
  }
  if (!finished()) stop_when_time_is_up();  // earlier processes may have used it
  while (!finished()) {
    parts_.batches.start_epoch(state_.progress.epoch, state_.progress.batch_in_epoch);
    while (!finished() && run_update()) {
    }
  }
  call("on_train_end", &Callback::on_train_end);
  const bool all_done = state_.progress.update >= options_.max_updates && !validation_pending_;
  const bool interrupted = stop_signal() != 0 && !all_done;
  return interrupted ? Outcome::kInterrupted : Outcome::kFinished;
}

bool Trainer::finished() const { return last_update() || stop_signal() != 0; }

// One update; false when the epoch is over.
bool Trainer::run_update() {
  UpdateScope::set(state_.progress.update + 1);
  const std::int64_t left = parts_.batches.num_batches() - state_.progress.batch_in_epoch;
  state_.skip_step = false;
  state_.grad_norm.reset();
  anomaly_.clear();
  call("on_update_start", &Callback::on_update_start);
  if (buffers_) buffers_->keep();
  if (split_ && scaler_) scaler_->keep();
  SampleList batch;
  const StepResult& result = run_batches(std::min(options_.update_frequency, left), batch);
  step(result);
  count_update();
  interval_ended_ = parts_.validate && evaluation_.due(state_.progress);
  // On a GPU reading a loss waits for the device, so that is done only where something is read or
  // saved anyway; NaN and infinity stay in the sums until then.
  if (parts_.device.is_cpu() || log_due() || interval_ended_) check_losses();
  notify("on_update_end", [&](Callback& callback, TrainerState& state) {
    callback.on_update_end(state, batch, result.output);
  });
  validation_pending_ = parts_.validate && (interval_ended_ || last_update());
  complete_update();
  own_ = StepResult();
  return state_.progress.batch_in_epoch != 0;
}

void Trainer::count_update() {
  Progress& progress = state_.progress;
  progress.update += 1;
  if (progress.batch_in_epoch == parts_.batches.num_batches()) {
    progress.epoch += 1;
    progress.batch_in_epoch = 0;
  }
  stop_when_time_is_up();
}

double Trainer::seconds_of_training() const {
  const std::chrono::duration<double> now = std::chrono::steady_clock::now() - begin_;
  return seconds_before_ + now.count();
}

std::optional<double> Trainer::max_time_left() const {
  if (!options_.max_seconds) return std::nullopt;
  return std::max(*options_.max_seconds - seconds_of_training(), 0.0);
}

void Trainer::stop_when_time_is_up() {
  if (state_.should_stop || max_time_left().value_or(1) > 0) return;
  log::info("[train] training.max_time is over after update ", state_.progress.update);
  state_.should_stop = true;
}

// The rest of an update, after its step.
void Trainer::complete_update() {
  if (validation_pending_ && !validate()) return;
  validation_pending_ = false;
  call("on_update_complete", &Callback::on_update_complete);
}

bool Trainer::log_due() const {
  return log_due_after(state_.progress.update) || state_.should_stop;
}

bool Trainer::log_due_after(std::int64_t update) const {
  return update % options_.log_interval == 0 || update >= options_.max_updates;
}

bool Trainer::last_update() const {
  return state_.progress.update >= options_.max_updates || state_.should_stop;
}

void Trainer::check_losses() const {
  if (options_.exit_on_nan_losses) meter_.check_finite(state_.progress.update);
}

// False when a stop signal cut it short: then it is as if it had not begun.
bool Trainer::validate() {
  const RngStates rng_before = rng_states(parts_.device);
  call("on_validation_start", &Callback::on_validation_start);
  try {
    const Numbers numbers = [&] {
      const auto timed = times_.measure(Phase::kValidation);
      return parts_.validate();
    }();
    check_validation(numbers);
    // One that is due only because the run ends is not seen by the schedule: a run that ended there
    // and is made longer goes on as one that did not end.
    if (interval_ended_) rate_.observe(numbers);
    evaluation_.restart();
    notify("on_validation_end", [&](Callback& callback, TrainerState& state) {
      callback.on_validation_end(state, numbers);
    });
    return true;
  } catch (const Stopped&) {
    set_rng_states(parts_.device, rng_before);
    return false;
  }
}

// The last step may have ended in weights that are not finite; they must not be saved.
void Trainer::check_validation(const Numbers& numbers) const {
  if (!options_.exit_on_nan_losses) return;
  for (const auto& [key, number] : numbers) {
    if (!key.ends_with("/total_loss") || std::isfinite(number)) continue;
    throw Error(ErrorKind::kNan, "not a finite number in the validation at update ",
                state_.progress.update, ": ", key, kNotFiniteAdvice);
  }
}

}  // namespace pergola::host
