// SPDX-License-Identifier: BSD-3-Clause
// What a checkpoint holds of a Trainer, and how it comes back.
#include "host/device/device.h"
#include "host/support/log.h"
#include "host/train/trainer.h"
#include "host/train/weight_average.h"
#include "pergola/error.h"

#include <set>
#include <utility>

namespace pergola::host {
namespace {

constexpr const char* kOptimizerPrefix = "optimizer/";
constexpr const char* kRngPrefix = "rng/";

const Value& require(const Value& state, const char* path) {
  const Value* value = state.find(path);
  if (value == nullptr) {
    throw Error(ErrorKind::kCheckpoint, "state.json of the checkpoint has no ", path,
                "; it was not written by this program, or by a newer one");
  }
  return *value;
}

std::map<std::string, at::Tensor> tensors_under(const std::string& prefix,
                                                const CheckpointContent& content) {
  std::map<std::string, at::Tensor> state;
  for (const auto& [key, tensor] : content.trainer) {
    if (key.starts_with(prefix)) state.emplace(key.substr(prefix.size()), tensor);
  }
  return state;
}

bool is_empty(const Value& state) { return !state.is_table() || state.as_table().empty(); }

void load_optimizer(const Hook& hook, Optimizer& optimizer, const CheckpointContent& content) {
  try {
    guarded(hook, [&] { optimizer.load_state_dict(tensors_under(kOptimizerPrefix, content)); });
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kCheckpoint) throw;
    throw Error(ErrorKind::kCheckpoint, error.what(),
                "; checkpoint.reset.optimizer = true begins with a new state of the optimizer");
  }
}

}  // namespace

CheckpointContent Trainer::content() const {
  CheckpointContent content;
  content.model = state_dict(parts_.model);
  const std::map<std::string, at::Tensor> optimizer =
      guarded(hook_of_optimizer("state_dict()"), [&] { return parts_.optimizer.state_dict(); });
  for (const auto& [key, tensor] : optimizer) {
    content.trainer.emplace_back(kOptimizerPrefix + key, tensor);
  }
  for (const auto& [kind, rng] : rng_states(parts_.device)) {
    content.trainer.emplace_back(kRngPrefix + kind, rng);
  }
  if (parts_.average != nullptr) parts_.average->exchange(content.model, content.trainer);
  const Progress& progress = state_.progress;
  content.state["progress"] = Value::Table{{"epoch", progress.epoch},
                                           {"update", progress.update},
                                           {"batch_in_epoch", progress.batch_in_epoch},
                                           {"samples_seen", progress.samples_seen},
                                           {"validation_pending", validation_pending_},
                                           {"interval_ended", interval_ended_}};
  content.state["seconds"] = seconds_of_training();
  if (const auto seconds = evaluation_.seconds()) content.state["evaluation_seconds"] = *seconds;
  content.state["meter"] = meter_.state_dict();
  content.state["scheduler"] = rate_.state_dict();
  if (scaler_) content.state["scaler"] = scaler_->state_dict();
  if (split_ && split_->most_samples() > 0) {
    content.state["samples_at_a_time"] = split_->most_samples();
  }
  callbacks_.save(content);
  Value extras{Value::Table{}};
  guarded(hook_of_model("on_save_checkpoint()"), [&] { parts_.model.on_save_checkpoint(extras); });
  content.state["extras"] = std::move(extras);
  return content;
}

RestoreReport Trainer::restore(const CheckpointContent& content, const ResetConfig& reset) {
  RestoreReport report;
  if (recorded_) recorded_->forget();
  const bool begins_anew = reset.all || reset.counts;
  restore_weights(content, reset, report);
  if (report.take({.name = "optimizer", .is_reset = reset.all || reset.optimizer})) {
    load_optimizer(hook_of_optimizer("load_state_dict()"), parts_.optimizer, content);
  }
  restore_counts(content, begins_anew, report);
  const Value* const scaler = content.state.find("scaler");
  if (report.take({.name = "loss scaler",
                   .is_saved = scaler != nullptr,
                   .is_used = scaler_.has_value(),
                   .is_reset = reset.all || reset.fp16_scaler})) {
    scaler_->load_state_dict(*scaler);
  }
  restore_random_numbers(content, begins_anew, report);
  return report;
}

void Trainer::restore_weights(const CheckpointContent& content, const ResetConfig& reset,
                              RestoreReport& report) {
  StateDict model = content.model;
  StateDict trainer = content.trainer;
  const StateDict average = take_average(model, trainer);
  guarded(hook_of_model("load_state_dict()"),
          [&] { parts_.model.load_state_dict(std::move(model), Strict::kYes); });
  report.take({.name = "weights"});
  const bool begins_anew = reset.all || reset.counts;
  // Whether one that is missing should be there, the average says itself.
  if (!average.empty()) {
    report.take({.name = "averaged weights",
                 .is_used = parts_.average != nullptr,
                 .is_reset = begins_anew});
  }
  if (parts_.average != nullptr && begins_anew) {
    parts_.average->restore({}, /*update=*/0);
  } else if (parts_.average != nullptr) {
    const Value* const update = content.state.find("progress.update");
    parts_.average->restore(average, update == nullptr ? 0 : update->as_integer());
  } else if (!average.empty()) {
    log::info(
        "[ema] the checkpoint's averaged weights are left out: training goes on with its own");
  }
  const Value& extras = require(content.state, "extras");
  if (!is_empty(extras)) report.take({.name = "the model's extras", .is_reset = reset.all});
  if (reset.all) return;
  guarded(hook_of_model("on_load_checkpoint()"), [&] { parts_.model.on_load_checkpoint(extras); });
}

// A run that moves to another kind of device goes on with the generators that both have.
void Trainer::restore_random_numbers(const CheckpointContent& content, bool is_reset,
                                     RestoreReport& report) {
  const RngStates saved = tensors_under(kRngPrefix, content);
  const RngStates own = rng_states(parts_.device);
  std::set<std::string> kinds;
  for (const auto* known : {&saved, &own}) {
    for (const auto& [kind, state] : *known) kinds.insert(kind);
  }
  for (const std::string& kind : kinds) {
    report.take({.name = concat("random numbers (", kind, ")"),
                 .is_saved = saved.contains(kind),
                 .is_used = own.contains(kind),
                 .is_reset = is_reset});
  }
  if (!is_reset) set_rng_states(parts_.device, saved);
}

void Trainer::restore_counts(const CheckpointContent& content, bool is_reset,
                             RestoreReport& report) {
  report.take({.name = "counts", .is_reset = is_reset});
  // Some schedules have no state but the number of the update.
  const Value* const schedule = content.state.find("scheduler");
  report.take({.name = "schedule",
               .is_saved = rate_.is_scheduled() || (schedule != nullptr && !is_empty(*schedule)),
               .is_used = rate_.is_scheduled(),
               .is_reset = is_reset});
  report.take({.name = "callbacks", .is_reset = is_reset});
  if (is_reset) return;
  Progress& progress = state_.progress;
  progress.epoch = require(content.state, "progress.epoch").as_integer();
  progress.update = require(content.state, "progress.update").as_integer();
  progress.batch_in_epoch = require(content.state, "progress.batch_in_epoch").as_integer();
  progress.samples_seen = require(content.state, "progress.samples_seen").as_integer();
  const auto flag = [&](const char* path) {
    const Value* value = content.state.find(path);
    return value != nullptr && value->as_boolean();
  };
  validation_pending_ = flag("progress.validation_pending");
  interval_ended_ = flag("progress.interval_ended");
  const auto seconds = [&](const char* path) {
    const Value* value = content.state.find(path);
    return value == nullptr ? 0 : value->as_float();
  };
  seconds_before_ = seconds("seconds");
  evaluation_.restore(seconds("evaluation_seconds"));
  const Value* const fitting = content.state.find("samples_at_a_time");
  if (split_ && fitting != nullptr) split_->set_most_samples(fitting->as_integer());
  meter_.load_state_dict(require(content.state, "meter"));
  rate_.load_state_dict(require(content.state, "scheduler"));
  callbacks_.restore(content);
}

}  // namespace pergola::host
