// SPDX-License-Identifier: BSD-3-Clause
// What a checkpoint holds of a Trainer, and how it comes back.
#include "host/device/device.h"
#include "host/support/log.h"
#include "host/train/trainer.h"
#include "host/train/weight_average.h"
#include "pergola/error.h"

#include <utility>

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

std::map<std::string, at::Tensor> optimizer_state(const CheckpointContent& content) {
  const std::string prefix = kOptimizerPrefix;
  std::map<std::string, at::Tensor> state;
  for (const auto& [key, tensor] : content.trainer) {
    if (key.starts_with(prefix)) state.emplace(key.substr(prefix.size()), tensor);
  }
  return state;
}

void load_optimizer(Optimizer& optimizer, const CheckpointContent& content) {
  try {
    guarded("load_state_dict() of the optimizer",
            [&] { optimizer.load_state_dict(optimizer_state(content)); });
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
      guarded("state_dict() of the optimizer", [&] { return parts_.optimizer.state_dict(); });
  for (const auto& [key, tensor] : optimizer) {
    content.trainer.emplace_back(kOptimizerPrefix + key, tensor);
  }
  content.trainer.emplace_back(rng_key(parts_.device), rng_state(parts_.device));
  if (parts_.average != nullptr) parts_.average->exchange(content.model, content.trainer);
  const Progress& progress = state_.progress;
  content.state["progress"] = Value::Table{{"epoch", progress.epoch},
                                           {"update", progress.update},
                                           {"batch_in_epoch", progress.batch_in_epoch},
                                           {"samples_seen", progress.samples_seen},
                                           {"validation_pending", validation_pending_},
                                           {"interval_ended", interval_ended_}};
  if (options_.max_seconds) content.state["seconds"] = seconds_of_training();
  content.state["meter"] = meter_.state_dict();
  content.state["scheduler"] = rate_.state_dict();
  if (scaler_) content.state["scaler"] = scaler_->state_dict();
  callbacks_.save(content);
  Value extras{Value::Table{}};
  guarded("on_save_checkpoint() of the model", [&] { parts_.model.on_save_checkpoint(extras); });
  content.state["extras"] = std::move(extras);
  return content;
}

RestoreReport Trainer::restore(const CheckpointContent& content, const ResetConfig& reset) {
  RestoreReport report;
  const auto take = [&](bool wanted, const char* what) {
    (wanted ? report.taken : report.left).emplace_back(what);
    return wanted;
  };
  restore_weights(content, reset);
  take(true, "weights");
  if (take(!reset.all && !reset.optimizer, "optimizer")) load_optimizer(parts_.optimizer, content);
  if (take(!reset.all && !reset.counts, "counts, schedule, callbacks and random numbers")) {
    restore_counts(content);
  }
  const Value* const scaler = content.state.find("scaler");
  if (scaler_ && scaler != nullptr && take(!reset.all && !reset.fp16_scaler, "loss scaler")) {
    scaler_->load_state_dict(*scaler);
  }
  return report;
}

void Trainer::restore_weights(const CheckpointContent& content, const ResetConfig& reset) {
  StateDict model = content.model;
  StateDict trainer = content.trainer;
  const StateDict average = take_average(model, trainer);
  guarded("load_state_dict() of the model",
          [&] { parts_.model.load_state_dict(std::move(model), Strict::kYes); });
  if (parts_.average != nullptr && (reset.all || reset.counts)) {
    parts_.average->restore({}, /*update=*/0);
  } else if (parts_.average != nullptr) {
    const Value* const update = content.state.find("progress.update");
    parts_.average->restore(average, update == nullptr ? 0 : update->as_integer());
  } else if (!average.empty()) {
    log::info(
        "[ema] the checkpoint's averaged weights are left out: training goes on with its own");
  }
  guarded("on_load_checkpoint() of the model",
          [&] { parts_.model.on_load_checkpoint(require(content.state, "extras")); });
}

void Trainer::restore_counts(const CheckpointContent& content) {
  for (const auto& [key, tensor] : content.trainer) {
    // A run that moves to another kind of device keeps its weights, not its random numbers.
    if (key == rng_key(parts_.device)) set_rng_state(parts_.device, tensor);
  }
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
  const Value* const seconds = content.state.find("seconds");
  seconds_before_ = seconds == nullptr ? 0 : seconds->as_float();
  meter_.load_state_dict(require(content.state, "meter"));
  rate_.load_state_dict(require(content.state, "scheduler"));
  callbacks_.restore(content);
}

}  // namespace pergola::host
