// SPDX-License-Identifier: BSD-3-Clause
// Saves checkpoints: `last` at each interval, at the end and before an asked-for stop; `best` when
// a validation beats all earlier ones; update_<n> at each interval. Last in the list of callbacks,
// so that the state of all others is in what it saves.
#pragma once

#include "host/checkpoint/store.h"
#include "host/config/run_config.h"
#include "host/train/trainer.h"
#include "pergola/callback.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace pergola::host {

// The best validation so far.
struct BestResult {
  std::int64_t update = -1;  // -1: there was none yet
  double value = 0;

  [[nodiscard]] bool operator==(const BestResult&) const = default;
};

class CheckpointCallback final : public Callback {
 public:
  // `identity` (config, model, plugin, seed) is added to every saved state. Borrows the trainer,
  // which owns this callback.
  CheckpointCallback(const Trainer& trainer, CheckpointStore store, const TrainingConfig& config,
                     Value identity);

  // Makes this run's best and the folder's `best` agree after a resume: saves `best` when it is to
  // be what was just restored, otherwise takes the one that is there for the best.
  void on_train_start(TrainerState& state) override;
  // One that is NaN or infinite is no best, with a warning for the first. Throws Error{kConfig}
  // when the validation has numbers, but none of the monitored name.
  void on_validation_end(TrainerState& state, const Numbers& metrics) override;
  void on_update_complete(TrainerState& state) override;
  void on_train_end(TrainerState& state) override;

  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

  // The state that was just restored is what `last` holds: it need not be saved again.
  void set_resumed_from_last();
  // Is called each time that `last` was saved.
  void after_save(std::function<void()> hook) { after_save_ = std::move(hook); }

  [[nodiscard]] const BestResult& best() const noexcept { return best_; }

 private:
  void save_last(const TrainerState& state);
  void warn_of_no_number(const Numbers& metrics, double value, std::int64_t update);
  [[nodiscard]] BestResult saved_best() const;

  const Trainer& trainer_;
  CheckpointStore store_;
  std::int64_t interval_;
  MonitorConfig monitor_;
  Value identity_;
  BestResult best_;
  bool improved_ = false;    // by the validation of the update in hand
  bool unmeasured_ = false;  // a validation of this process had nothing to choose a best one by
  bool warned_ = false;      // that the monitored number is none
  std::int64_t saved_update_ = -1;
  std::function<void()> after_save_ = [] {};
};

}  // namespace pergola::host
