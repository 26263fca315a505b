// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/unfreeze_callback.h"

#include "host/support/log.h"

#include <utility>

namespace pergola::host {

UnfreezeCallback::UnfreezeCallback(FreezeSchedule schedule) : schedule_(std::move(schedule)) {}

void UnfreezeCallback::on_train_start(TrainerState& state) {
  schedule_.apply(state.progress.update);
  for (const std::string& where : schedule_.frozen_until_end(state.max_updates)) {
    log::warning("[model] the parameters of ", where, " are never trained: the run ends at update ",
                 state.max_updates, "; lower its `after`, or name them in training.freeze");
  }
}

void UnfreezeCallback::on_update_start(TrainerState& state) {
  schedule_.apply(state.progress.update);
}

}  // namespace pergola::host
