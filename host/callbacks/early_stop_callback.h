// SPDX-License-Identifier: BSD-3-Clause
// Ends a training whose validation has not become better for long (training.early_stop). What is
// better, and how good the best one was, says the callback that saves checkpoints, which comes
// after this one in the list: it has looked at a validation when this one decides, and saves what
// this one ends.
#pragma once

#include "host/callbacks/checkpoint_callback.h"
#include "pergola/callback.h"

#include <cstdint>

namespace pergola::host {

class EarlyStopCallback final : public Callback {
 public:
  // `patience`: for how many updates the best validation may stay the best one. Borrows
  // `checkpoint`.
  EarlyStopCallback(const CheckpointCallback& checkpoint, std::int64_t patience);

  // A run that was stopped here, and is resumed with no more patience, has nothing left to train.
  void on_train_start(TrainerState& state) override;
  void on_validation_end(TrainerState& state, const Numbers& metrics) override;
  // Ends the training when the validation of this update came after the best one's update plus
  // patience. A validation that the end of the training called for decides nothing: made longer,
  // the run would not have had it.
  void on_update_complete(TrainerState& state) override;

  // {"decided_update"}: that of the last validation that could end the training.
  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

 private:
  [[nodiscard]] bool is_over(std::int64_t update) const;

  const CheckpointCallback& checkpoint_;
  std::int64_t patience_;
  bool validated_ = false;  // in the update in hand
  std::int64_t decided_update_ = -1;
};

}  // namespace pergola::host
