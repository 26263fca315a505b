// SPDX-License-Identifier: BSD-3-Clause
// Freezes and thaws the parameters of training.unfreeze as training goes on. It has no state: what
// is frozen depends on the number of updates alone.
#pragma once

#include "host/model/freeze.h"
#include "pergola/callback.h"

namespace pergola::host {

class UnfreezeCallback final : public Callback {
 public:
  explicit UnfreezeCallback(FreezeSchedule schedule);

  // Warns of entries that never thaw.
  void on_train_start(TrainerState& state) override;
  void on_update_start(TrainerState& state) override;

 private:
  FreezeSchedule schedule_;
};

}  // namespace pergola::host
