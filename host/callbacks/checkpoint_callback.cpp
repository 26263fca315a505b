// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/checkpoint_callback.h"

#include "host/model/guard.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

// Nothing but the optimizer's step changes these, so they may be copied while the next update's
// gradients are computed. Weights are other people's to change: a model may do so in its forward.
constexpr std::string_view kOptimizerState = "optimizer/";

std::vector<std::optional<BestResult>> optional_results(const std::vector<BestResult>& results) {
  return {results.begin(), results.end()};
}

std::string updates_of(const std::vector<BestResult>& results) {
  std::vector<std::string> numbers;
  for (const BestResult& result : results) numbers.push_back(std::to_string(result.update));
  return join(numbers);
}

}  // namespace

CheckpointCallback::CheckpointCallback(Trainer& trainer, CheckpointStore store,
                                       const RunConfig& config, Value identity)
    : trainer_(trainer),
      store_(std::move(store)),
      interval_(config.training.checkpoint_interval, trainer.updates_per_epoch(),
                Interval::Zero::kNever),
      monitor_(config.training.monitor),
      in_background_(config.checkpoint.save_in_background),
      identity_(std::move(identity)),
      best_(config.training.monitor, config.checkpoint.keep_best) {}

void CheckpointCallback::on_train_start(TrainerState& state) {
  interval_.start();
  complete_update(state.progress.update);
  if (best_.results().empty()) return;
  const auto restored = best_.results();
  std::vector<std::optional<BestResult>> there;
  const std::int64_t lowest = std::max(store_.lowest_best(), std::int64_t{1});
  for (std::int64_t rank = 1; rank <= lowest; ++rank) there.push_back(result_at(rank));
  if (there == optional_results(restored)) return;

  // Those of the folder count, whatever the checkpoint says that was resumed: it may be older.
  std::vector<BestResult> kept;
  for (const auto& result : there) {
    if (result && std::ranges::find(kept, *result) == kept.end()) kept.push_back(*result);
  }
  const auto current = best_.of_update(state.progress.update);
  best_.assign(std::move(kept));
  if (current) best_.add(*current);
  warn_of_other_best(restored);
  agree_on_best(there);
}

// The process may have ended between saving `last` and the update_<n> that was due with it.
void CheckpointCallback::complete_update(std::int64_t update) const {
  if (saved_update_ != update || kept_update_ != update) return;
  if (!store_.complete_update(update)) return;
  log::info("[checkpoint] saved that of update ", update, ", which was missing");
}

// What best_ is now, the folder is afterwards.
void CheckpointCallback::agree_on_best(const std::vector<std::optional<BestResult>>& there) {
  Names names;
  names.best = sources_of(best_.results(), there);
  if (names.best.empty()) return;
  if (std::ranges::find(names.best, CheckpointStore::kFromLast) == names.best.end()) {
    write_names(names);
    return;
  }
  // The process ended between saving `last` and `best`, which were of the same update.
  names.line =
      concat("saved the best of update ", trainer_.state().progress.update, ", which was missing");
  save(Where::kHere, std::move(names));
}

void CheckpointCallback::warn_of_other_best(const std::vector<BestResult>& restored) const {
  const BestResult best = best_.front();
  if (best != restored.front()) {
    log::warning("[checkpoint] ", store_.best().string(), " is not of update ",
                 restored.front().update, ", the best one of the checkpoint that was resumed; ",
                 best.update < 0 ? "the next validation makes a new one"
                                 : concat("it is of update ", best.update, ", and is kept"));
  } else if (best_.results() != restored) {
    log::warning("[checkpoint] the best ones in the run's folder are of updates ",
                 updates_of(best_.results()), ", in the checkpoint that was resumed they are of ",
                 updates_of(restored), "; those in the folder are kept");
  }
}

std::optional<BestResult> CheckpointCallback::result_at(std::int64_t rank) const {
  try {
    const CheckpointContent saved = load_checkpoint(store_.best(rank), CheckpointParts::kState);
    const Value* const state = saved.state.find("callbacks.checkpoint");
    const Value* const update = saved.state.find("progress.update");
    if (state == nullptr || update == nullptr) return std::nullopt;
    BestList list(monitor_, std::numeric_limits<std::int64_t>::max());
    list.load_state_dict(*state);
    return list.of_update(update->as_integer());
  } catch (const Error&) {  // missing or damaged
    return std::nullopt;
  }
}

void CheckpointCallback::on_update_start(TrainerState& /*state*/) { saver_.check(); }

void CheckpointCallback::on_step_start(TrainerState& /*state*/) { saver_.wait_for_copy(); }

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
  if (!std::isfinite(found->second)) {
    unmeasured_ = true;
    warn_of_no_number(metrics, found->second, state.progress.update);
    return;
  }
  take_best(state.progress.update, found->second);
}

void CheckpointCallback::take_best(std::int64_t update, double value) {
  const auto before = optional_results(best_.results());
  const auto rank = best_.add({update, value});
  if (!rank) return;
  new_best_ = sources_of(best_.results(), before);
  best_line_ = concat(*rank == 1 ? "best so far: " : concat("best_", *rank, ": "),
                      monitor_.criteria, " ", value, " at update ", update);
}

void CheckpointCallback::warn_of_no_number(const Numbers& metrics, double value,
                                           std::int64_t update) {
  if (std::exchange(warned_, true)) return;
  std::vector<std::string> others;
  for (const auto& [key, number] : metrics) {
    if (std::isfinite(number)) others.push_back(key);
  }
  const char* const shown = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  log::warning("[checkpoint] ", monitor_.criteria, " is ", shown, " in the validation at update ",
               update, ", which makes no best checkpoint; let training.early_stop.criteria name ",
               "another number of the validation",
               others.empty() ? "" : concat(", such as ", join(others)));
}

void CheckpointCallback::on_update_complete(TrainerState& state) {
  const std::int64_t update = state.progress.update;
  const bool is_last = state.should_stop || stop_signal() != 0 || update >= state.max_updates;
  Names names;
  names.best = std::exchange(new_best_, {});
  names.line = std::exchange(best_line_, {});
  if (interval_.due(state.progress)) {
    names.update = kept_update_ = update;
    interval_.restart();
  }
  if (!names.update && names.best.empty() && !state.should_stop && stop_signal() == 0) {
    if (!is_last) get_memory_ready();
    return;
  }
  save(is_last ? Where::kHere : Where::kInBackground, std::move(names));
}

void CheckpointCallback::on_train_end(TrainerState& state) {
  saver_.end();
  save(Where::kHere, {});
  if (best_.front().update >= 0 || !unmeasured_) return;
  log::info("[checkpoint] there is no best checkpoint: no validation had a finite ",
            monitor_.criteria, "; the last one, of update ", state.progress.update,
            ", is used in its place");
}

void CheckpointCallback::on_exception(TrainerState& /*state*/,
                                      const std::string& /*message*/) noexcept {
  saver_.finish();
}

// The optimizer has its state after the first update, and the first save comes later, mostly.
void CheckpointCallback::get_memory_ready() {
  if (in_background_ && !std::exchange(memory_ready_, true)) saver_.prepare(trainer_.content());
}

// Saves `last`, unless it is saved, and the names.
void CheckpointCallback::save(Where where, Names names) {
  const auto timed = trainer_.times().measure(Phase::kCheckpoint);
  const std::int64_t update = trainer_.state().progress.update;
  if (!in_background_) where = Where::kHere;
  if (where == Where::kHere || saved_update_ == update) saver_.join();
  if (saved_update_ == update) {
    write_names(names);
    return;
  }
  trainer_.check_losses();  // a run that went wrong must not replace the last good checkpoint
  CheckpointContent content = trainer_.content();
  saved_update_ = update;
  auto write = [this, names = std::move(names)](CheckpointContent saved) {
    for (const auto& [key, value] : identity_.as_table()) saved.state[key] = value;
    before_save_();
    store_.save_last(saved);
    after_save_();
    write_names(names);
  };
  if (where == Where::kHere) {
    write(std::move(content));
  } else {
    memory_ready_ = true;
    saver_.submit(std::move(content), kOptimizerState, std::move(write));
  }
}

void CheckpointCallback::write_names(const Names& names) const {
  if (names.update) store_.save_update(*names.update);
  if (!names.best.empty()) store_.arrange_best(names.best);
  if (!names.line.empty()) log::info("[checkpoint] ", names.line);
}

Value CheckpointCallback::state_dict() const {
  Value state = best_.state_dict();
  if (kept_update_ >= 0) state["kept_update"] = kept_update_;
  if (const auto seconds = interval_.seconds()) state["interval_seconds"] = *seconds;
  return state;
}

void CheckpointCallback::load_state_dict(const Value& state) {
  best_.load_state_dict(state);
  const Value* const kept = state.find("kept_update");
  kept_update_ = kept == nullptr ? -1 : kept->as_integer();
  const Value* const seconds = state.find("interval_seconds");
  interval_.restore(seconds == nullptr ? 0 : seconds->as_float());
  const Value* const update = state.find("best_update");
  if (!best_.results().empty() || update == nullptr || update->as_integer() < 0) return;
  log::info("[checkpoint] the best so far, of update ", update->as_integer(),
            ", is by another training.early_stop.criteria or minimize; it does not count");
}

void CheckpointCallback::set_resumed_from_last() {
  saved_update_ = trainer_.state().progress.update;
}

}  // namespace pergola::host
