// SPDX-License-Identifier: BSD-3-Clause
// Saves checkpoints: `last` at each interval, at the end and before an asked-for stop; `best`,
// best_2, ... when a validation is one of the best; update_<n> at each interval. Where
// checkpoint.save_in_background says so, the training waits for a copy of the tensors alone, but
// for the last save of a run, which has nothing to wait for it. Last in the list of callbacks, so
// that the state of all others is in what it saves.
#pragma once

#include "host/callbacks/best_list.h"
#include "host/checkpoint/background_saver.h"
#include "host/checkpoint/store.h"
#include "host/config/run_config.h"
#include "host/train/interval.h"
#include "host/train/trainer.h"
#include "pergola/callback.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

class CheckpointCallback final : public Callback {
 public:
  // `identity` (config, model, plugin, seed) is added to every saved state. Borrows the trainer,
  // which owns this callback.
  CheckpointCallback(Trainer& trainer, CheckpointStore store, const RunConfig& config,
                     Value identity);

  // Makes up for what a kill cut off after `last` was saved. Makes this run's best ones and those
  // of the folder agree after a resume: saves the one that is to be what was just restored, and
  // otherwise takes those that are there for the best.
  void on_train_start(TrainerState& state) override;
  // Throws what a save in the background threw, as on_train_end does.
  void on_update_start(TrainerState& state) override;
  // Waits until the optimizer's state was copied.
  void on_step_start(TrainerState& state) override;
  // One that is NaN or infinite is no best, with a warning for the first. Throws Error{kConfig}
  // when the validation has numbers, but none of the monitored name.
  void on_validation_end(TrainerState& state, const Numbers& metrics) override;
  void on_update_complete(TrainerState& state) override;
  // Afterwards all that was to be saved is on the disk.
  void on_train_end(TrainerState& state) override;
  // Waits for a save in flight.
  void on_exception(TrainerState& state, const std::string& message) noexcept override;

  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

  // The state that was just restored is what `last` holds: it need not be saved again.
  void set_resumed_from_last();
  // Is called each time before `last` is saved, by the thread that saves it: what a checkpoint
  // promises to be on the disk, such as the lines of metrics.jsonl, is brought there.
  void before_save(std::function<void()> hook) { before_save_ = std::move(hook); }
  // Is called each time that `last` was saved, by that thread.
  void after_save(std::function<void()> hook) { after_save_ = std::move(hook); }

  // The best validation so far, that of the update in hand included from on_validation_end on.
  [[nodiscard]] BestResult best() const { return best_.front(); }
  // What the folder `best` holds: a validation may find one that could not be saved. Of update -1
  // where there is none.  REQUIRES: no save is in flight.
  [[nodiscard]] BestResult saved_best() const { return result_at(1).value_or(BestResult()); }
  [[nodiscard]] const std::string& criteria() const noexcept { return monitor_.criteria; }

 private:
  // What one save puts on the disk beside `last`, in this order.
  struct Names {
    std::optional<std::int64_t> update;
    std::vector<std::int64_t> best;  // sources of CheckpointStore::arrange_best; empty: they stay
    std::string line;                // for the log, when it is done
  };
  enum class Where { kHere, kInBackground };
  void save(Where where, Names names);
  void write_names(const Names& names) const;
  void complete_update(std::int64_t update) const;
  void get_memory_ready();
  void take_best(std::int64_t update, double value);
  void warn_of_no_number(const Numbers& metrics, double value, std::int64_t update);
  [[nodiscard]] std::optional<BestResult> result_at(std::int64_t rank) const;
  void agree_on_best(const std::vector<std::optional<BestResult>>& there);
  void warn_of_other_best(const std::vector<BestResult>& restored) const;

  Trainer& trainer_;
  CheckpointStore store_;
  Interval interval_;
  MonitorConfig monitor_;
  bool in_background_;
  Value identity_;
  BestList best_;
  std::vector<std::int64_t> new_best_;  // sources, when the validation of the update in hand is one
  std::string best_line_;
  bool unmeasured_ = false;  // a validation of this process had nothing to choose a best one by
  bool warned_ = false;      // that the monitored number is none
  bool memory_ready_ = false;
  std::int64_t kept_update_ = -1;  // the last one after which the interval was due
  std::int64_t saved_update_ = -1;
  std::function<void()> before_save_ = [] {};
  std::function<void()> after_save_ = [] {};
  BackgroundSaver saver_;  // last: its thread uses the others
};

}  // namespace pergola::host
