// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/trainer.h"

#include "host/device/device.h"
#include "host/model/guard.h"
#include "host/model/optimizers/options.h"
#include "host/support/signals.h"
#include "host/train/clip.h"
#include "host/train/evaluation.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <cmath>

namespace pergola::host {
namespace {

constexpr const char* kOptimizerPrefix = "optimizer/";

std::string rng_key(c10::Device device) { return device.is_cuda() ? "rng/cuda" : "rng/cpu"; }

const Value& require(const Value& state, const char* path) {
  const Value* value = state.find(path);
  if (value == nullptr) {
    throw Error(ErrorKind::kCheckpoint, "state.json of the checkpoint has no ", path,
                "; it was not written by this program, or by a newer one");
  }
  return *value;
}

}  // namespace

Trainer::Trainer(TrainerParts parts, const TrainerOptions& options, TrainerState state)
    : parts_(std::move(parts)), options_(options), state_(std::move(state)) {
  state_.max_updates = options_.max_updates;
  state_.model = &parts_.model;
}

void Trainer::add_callback(std::string key, std::unique_ptr<Callback> callback) {
  callbacks_.push_back({std::move(key), std::move(callback)});
}

void Trainer::call(const char* name, const Hook& hook) {
  for (NamedCallback& entry : callbacks_) {
    guarded(concat(name, " of callback '", entry.key, "'"), [&] { hook(*entry.callback); });
  }
}

Outcome Trainer::run() {
  try {
    return loop();
  } catch (const std::exception& error) {
    for (NamedCallback& entry : callbacks_) entry.callback->on_exception(state_, error.what());
    throw;
  }
}

Outcome Trainer::loop() {
  parts_.model.train();
  call("on_train_start", [&](Callback& c) { c.on_train_start(state_); });
  if (validation_pending_) complete_update();
  while (!finished()) {
    parts_.loader.start_epoch(state_.progress.epoch, state_.progress.batch_in_epoch);
    while (!finished() && run_update()) {
    }
  }
  call("on_train_end", [&](Callback& c) { c.on_train_end(state_); });
  const bool all_done = state_.progress.update >= options_.max_updates && !validation_pending_;
  const bool interrupted = stop_signal() != 0 && !all_done;
  return interrupted ? Outcome::kInterrupted : Outcome::kFinished;
}

bool Trainer::finished() const { return last_update() || stop_signal() != 0; }

// One update; false when the epoch is over.
bool Trainer::run_update() {
  Progress& progress = state_.progress;
  const std::int64_t left = parts_.loader.num_batches() - progress.batch_in_epoch;
  const std::int64_t group_size = std::min(options_.update_frequency, left);
  call("on_update_start", [&](Callback& c) { c.on_update_start(state_); });
  parts_.optimizer.zero_grad();
  SampleList batch;
  ModelOutput output;
  for (std::int64_t i = 0; i < group_size; ++i) {
    std::optional<SampleList> loaded = next_batch(parts_.loader);
    PERGOLA_ASSERT(loaded.has_value());
    batch = std::move(*loaded).to(parts_.device, /*non_blocking=*/true);
    output = forward_backward(batch, group_size);
    progress.batch_in_epoch += 1;
    progress.samples_seen += batch.batch_size();
    samples_this_run_ += batch.batch_size();
  }
  step();
  progress.update += 1;
  const bool epoch_ended = progress.batch_in_epoch == parts_.loader.num_batches();
  if (epoch_ended) {
    progress.epoch += 1;
    progress.batch_in_epoch = 0;
  }
  if (losses_are_read()) check_losses();
  call("on_update_end", [&](Callback& c) { c.on_update_end(state_, batch, output); });
  validation_pending_ = validation_due();
  complete_update();
  return !epoch_ended;
}

// The rest of an update, after its step.
void Trainer::complete_update() {
  if (validation_pending_ && !validate()) return;
  validation_pending_ = false;
  call("on_update_complete", [&](Callback& c) { c.on_update_complete(state_); });
}

ModelOutput Trainer::forward_backward(const SampleList& batch, std::int64_t group_size) {
  const std::int64_t index = state_.progress.batch_in_epoch;
  ModelOutput output = guarded(concat("training_step() at update ", state_.progress.update + 1),
                               [&] { return parts_.model.training_step(batch, index); });
  if (!output.losses.has_value() || output.losses->empty()) {
    throw Error(
        ErrorKind::kConfig,
        "there is nothing to train on: the model returned no losses, and its "
        "config names none that apply; set losses = [\"logit_bce\"] in model_config, or let the "
        "data set give targets");
  }
  const at::Tensor loss = guarded("the mean of the model's losses", [&] {
    meter_.add(*output.losses, batch.batch_size());
    return total_loss(*output.losses) / group_size;
  });
  guarded(concat("the backward pass at update ", state_.progress.update + 1),
          [&] { loss.backward(); });
  return output;
}

void Trainer::step() {
  if (options_.max_grad_l2_norm) clip_grad_norm(parts_.optimizer, *options_.max_grad_l2_norm);
  if (options_.clip_grad_value) clip_grad_value(parts_.optimizer, *options_.clip_grad_value);
  if (parts_.scheduler != nullptr) schedule_rate();
  guarded(concat("step() of the optimizer at update ", state_.progress.update + 1), [&] {
    const at::NoGradGuard no_grad;
    parts_.optimizer.step();
  });
}

void Trainer::schedule_rate() {
  const std::int64_t update = state_.progress.update + 1;
  const double factor = guarded(concat("factor() of the scheduler at update ", update),
                                [&] { return parts_.scheduler->factor(state_.progress.update); });
  parts_.optimizer.set_lr_factor(factor);
  for (std::size_t group = 0; group < parts_.optimizer.groups().size(); ++group) {
    const double rate = parts_.optimizer.lr(group);
    if (std::abs(rate) <= kHighestOption) continue;  // not for NaN
    throw Error(ErrorKind::kConfig, "scheduler '", options_.scheduler,
                "' makes the learning rate of update ", update, " ", rate, ", ", factor,
                " times optimizer.params.lr; expected at most ", kHighestOption,
                ": check scheduler.params");
  }
}

bool Trainer::log_due() const {
  return state_.progress.update % options_.log_interval == 0 || last_update();
}

bool Trainer::last_update() const {
  return state_.progress.update >= options_.max_updates || state_.should_stop;
}

bool Trainer::validation_due() const {
  return parts_.validate && (last_update() || interval_ended());
}

bool Trainer::interval_ended() const {
  const Progress& progress = state_.progress;
  return options_.evaluation_interval == 0 ? progress.batch_in_epoch == 0
                                           : progress.update % options_.evaluation_interval == 0;
}

// On a GPU reading a loss waits for the device, so that is done only where something is read or
// saved anyway; NaN and infinity stay in the sums until then.
bool Trainer::losses_are_read() const {
  return parts_.device.is_cpu() || log_due() || validation_due();
}

void Trainer::check_losses() const {
  if (options_.exit_on_nan_losses) meter_.check_finite(state_.progress.update);
}

// False when a stop signal cut it short: then it is as if it had not begun.
bool Trainer::validate() {
  const at::Tensor rng_before = rng_state(parts_.device);
  call("on_validation_start", [&](Callback& c) { c.on_validation_start(state_); });
  try {
    const Numbers numbers = parts_.validate();
    check_validation(numbers);
    observe(numbers);
    call("on_validation_end", [&](Callback& c) { c.on_validation_end(state_, numbers); });
    return true;
  } catch (const Stopped&) {
    set_rng_state(parts_.device, rng_before);
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

// A validation that is due only because the run ends is not seen: a run that ended there and is
// made longer goes on as one that did not end.
void Trainer::observe(const Numbers& numbers) {
  const auto criterion = numbers.find(options_.criteria);
  if (parts_.scheduler == nullptr || criterion == numbers.end() || !interval_ended()) return;
  guarded("observe() of the scheduler", [&] { parts_.scheduler->observe(criterion->second); });
}

CheckpointContent Trainer::content() const {
  CheckpointContent content;
  content.model = state_dict(parts_.model);
  const std::map<std::string, at::Tensor> optimizer_state =
      guarded("state_dict() of the optimizer", [&] { return parts_.optimizer.state_dict(); });
  for (const auto& [key, tensor] : optimizer_state) {
    content.trainer.emplace_back(kOptimizerPrefix + key, tensor);
  }
  content.trainer.emplace_back(rng_key(parts_.device), rng_state(parts_.device));
  const Progress& progress = state_.progress;
  content.state["progress"] = Value::Table{{"epoch", progress.epoch},
                                           {"update", progress.update},
                                           {"batch_in_epoch", progress.batch_in_epoch},
                                           {"samples_seen", progress.samples_seen},
                                           {"validation_pending", validation_pending_}};
  content.state["meter"] = meter_.state_dict();
  content.state["scheduler"] = parts_.scheduler == nullptr
                                   ? Value(Value::Table{})
                                   : guarded("state_dict() of the scheduler",
                                             [&] { return parts_.scheduler->state_dict(); });
  content.state["callbacks"] = Value::Table{};
  for (const NamedCallback& entry : callbacks_) {
    content.state["callbacks"][entry.key] =
        guarded(concat("state_dict() of callback '", entry.key, "'"),
                [&] { return entry.callback->state_dict(); });
  }
  Value extras{Value::Table{}};
  guarded("on_save_checkpoint() of the model", [&] { parts_.model.on_save_checkpoint(extras); });
  content.state["extras"] = std::move(extras);
  return content;
}

void Trainer::restore(const CheckpointContent& content) {
  guarded("load_state_dict() of the model",
          [&] { parts_.model.load_state_dict(content.model, Strict::kYes); });
  std::map<std::string, at::Tensor> optimizer_state;
  const std::string prefix = kOptimizerPrefix;
  for (const auto& [key, tensor] : content.trainer) {
    if (key.rfind(prefix, 0) == 0) optimizer_state.emplace(key.substr(prefix.size()), tensor);
    // A run that moves to another kind of device keeps its weights, not its random numbers.
    if (key == rng_key(parts_.device)) set_rng_state(parts_.device, tensor);
  }
  guarded("load_state_dict() of the optimizer",
          [&] { parts_.optimizer.load_state_dict(optimizer_state); });
  Progress& progress = state_.progress;
  progress.epoch = require(content.state, "progress.epoch").as_integer();
  progress.update = require(content.state, "progress.update").as_integer();
  progress.batch_in_epoch = require(content.state, "progress.batch_in_epoch").as_integer();
  progress.samples_seen = require(content.state, "progress.samples_seen").as_integer();
  const Value* pending = content.state.find("progress.validation_pending");
  validation_pending_ = pending != nullptr && pending->as_boolean();
  meter_.load_state_dict(require(content.state, "meter"));
  if (parts_.scheduler != nullptr) {
    guarded("load_state_dict() of the scheduler",
            [&] { parts_.scheduler->load_state_dict(require(content.state, "scheduler")); });
  }
  for (NamedCallback& entry : callbacks_) {
    const Value& states = require(content.state, "callbacks");
    const auto found = states.as_table().find(entry.key);
    if (found == states.as_table().end()) continue;
    guarded(concat("load_state_dict() of callback '", entry.key, "'"),
            [&] { entry.callback->load_state_dict(found->second); });
  }
  guarded("on_load_checkpoint() of the model",
          [&] { parts_.model.on_load_checkpoint(require(content.state, "extras")); });
}

}  // namespace pergola::host
