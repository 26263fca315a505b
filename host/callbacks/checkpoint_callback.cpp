// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/checkpoint_callback.h"

#include "host/support/log.h"
#include "host/support/signals.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <cmath>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

// What state_dict() gave; the one of no validation when that is not there.
BestResult read_best(const Value& state) {
  const Value* update = state.find("best_update");
  const Value* value = state.find("best_value");
  if (update == nullptr || value == nullptr || value->is_null()) return {};
  return {update->as_integer(), value->as_float()};
}

}  // namespace

CheckpointCallback::CheckpointCallback(const Trainer& trainer, CheckpointStore store,
                                       const TrainingConfig& config, Value identity)
    : trainer_(trainer),
      store_(std::move(store)),
      interval_(config.checkpoint_interval),
      monitor_(config.monitor),
      identity_(std::move(identity)) {}

void CheckpointCallback::on_train_start(TrainerState& state) {
  if (best_.update < 0) return;
  const BestResult saved = saved_best();
  if (saved == best_) return;
  if (best_.update == state.progress.update) {
    // The process ended between saving `last` and `best`, which were of the same update.
    save_last(state);
    store_.save_best();
    log::info("[checkpoint] saved the best of update ", best_.update, ", which was missing");
    return;
  }
  // What was resumed is older than `best`, or `best` is damaged: these weights are not there.
  log::warning("[checkpoint] ", store_.best().string(), " is not of update ", best_.update,
               ", the best one of the checkpoint that was resumed; ",
               saved.update < 0 ? "the next validation makes a new one"
                                : concat("it is of update ", saved.update, ", and is kept"));
  best_ = saved;
}

BestResult CheckpointCallback::saved_best() const {
  try {
    const CheckpointContent best = load_checkpoint(store_.best(), CheckpointParts::kModel);
    const Value* saved = best.state.find("callbacks.checkpoint");
    return saved == nullptr ? BestResult() : read_best(*saved);
  } catch (const Error&) {  // missing or damaged
    return {};
  }
}

void CheckpointCallback::on_validation_end(TrainerState& state, const Numbers& metrics) {
  saved_update_ = -1;  // what a stop saved before this validation does not have its result
  if (metrics.empty()) {
    unmeasured_ = true;
    return;
  }
  const auto found = metrics.find(monitor_.criteria);
  if (found == metrics.end()) {
    std::vector<std::string> keys;
    for (const auto& [key, number] : metrics) keys.push_back(key);
    throw Error(ErrorKind::kConfig, "training.early_stop.criteria asks for ", monitor_.criteria,
                ", which the validation does not have", did_you_mean(monitor_.criteria, keys));
  }
  const double value = found->second;
  if (!std::isfinite(value)) {
    unmeasured_ = true;
    warn_of_no_number(metrics, value, state.progress.update);
    return;
  }
  const bool better = monitor_.minimize ? value < best_.value : value > best_.value;
  if (best_.update >= 0 && !better) return;
  best_ = {state.progress.update, value};
  improved_ = true;
}

void CheckpointCallback::warn_of_no_number(const Numbers& metrics, double value,
                                           std::int64_t update) {
  if (std::exchange(warned_, true)) return;
  std::vector<std::string> others;
  for (const auto& [key, number] : metrics) {
    if (std::isfinite(number)) others.push_back(key);
  }
  log::warning("[checkpoint] ", monitor_.criteria, " is ", value, " in the validation at update ",
               update, ", which makes no best checkpoint; let training.early_stop.criteria name ",
               "another number of the validation",
               others.empty() ? "" : concat(", such as ", join(others)));
}

void CheckpointCallback::on_update_complete(TrainerState& state) {
  const std::int64_t update = state.progress.update;
  const bool improved = std::exchange(improved_, false);
  const bool interval = interval_ > 0 && update % interval_ == 0;
  if (!improved && !interval && !state.should_stop && stop_signal() == 0) return;
  save_last(state);
  if (interval) store_.save_update(update);
  if (improved) {
    store_.save_best();
    log::info("[checkpoint] best so far: ", monitor_.criteria, " ", best_.value, " at update ",
              update);
  }
}

void CheckpointCallback::on_train_end(TrainerState& state) {
  save_last(state);
  if (best_.update >= 0 || !unmeasured_) return;
  log::info("[checkpoint] there is no best checkpoint: no validation had a finite ",
            monitor_.criteria, "; the last one, of update ", state.progress.update,
            ", is used in its place");
}

void CheckpointCallback::save_last(const TrainerState& state) {
  if (saved_update_ == state.progress.update) return;
  trainer_.check_losses();  // a run that went wrong must not replace the last good checkpoint
  CheckpointContent content = trainer_.content();
  for (const auto& [key, value] : identity_.as_table()) content.state[key] = value;
  store_.save_last(content);
  saved_update_ = state.progress.update;
  after_save_();
}

Value CheckpointCallback::state_dict() const {
  return Value::Table{{"best_update", best_.update}, {"best_value", best_.value}};
}

void CheckpointCallback::load_state_dict(const Value& state) { best_ = read_best(state); }

void CheckpointCallback::set_resumed_from_last() {
  saved_update_ = trainer_.state().progress.update;
}

}  // namespace pergola::host
