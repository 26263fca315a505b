// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/early_stop_callback.h"

#include "host/support/log.h"

#include <algorithm>
#include <utility>

namespace pergola::host {

EarlyStopCallback::EarlyStopCallback(const CheckpointCallback& checkpoint, std::int64_t patience)
    : checkpoint_(checkpoint), patience_(patience) {}

void EarlyStopCallback::on_train_start(TrainerState& state) {
  const std::int64_t update = state.progress.update;
  if (decided_update_ != update || !is_over(update)) return;
  state.should_stop = true;
  log::info("[early_stop] the training was stopped early, after update ", update,
            "; to go on, raise training.early_stop.patience");
}

void EarlyStopCallback::on_validation_end(TrainerState& /*state*/, const Numbers& /*metrics*/) {
  validated_ = true;
}

void EarlyStopCallback::on_update_complete(TrainerState& state) {
  const std::int64_t update = state.progress.update;
  const bool ends = state.should_stop || update >= state.max_updates;
  if (!std::exchange(validated_, false) || ends) return;
  decided_update_ = update;
  if (!is_over(update)) return;
  state.should_stop = true;
  const BestResult best = checkpoint_.best();
  const std::string last = best.update < 0 ? "was no finite number"
                                           : concat("was not better than ", best.value,
                                                    ", of update ", best.update, ",");
  log::info("[early_stop] ", checkpoint_.criteria(), " ", last, " for more than ", patience_,
            " updates (training.early_stop.patience): training ends after update ", update);
}

// Without any best one, patience begins with the training.
bool EarlyStopCallback::is_over(std::int64_t update) const {
  return update - std::max<std::int64_t>(checkpoint_.best().update, 0) > patience_;
}

Value EarlyStopCallback::state_dict() const {
  return Value::Table{{"decided_update", decided_update_}};
}

void EarlyStopCallback::load_state_dict(const Value& state) {
  const Value* const update = state.find("decided_update");
  decided_update_ = update == nullptr ? -1 : update->as_integer();
}

}  // namespace pergola::host
