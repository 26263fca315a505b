// SPDX-License-Identifier: BSD-3-Clause
// What a run is refused for before it touches its folder, beyond what the config alone shows. Main
// thread.
#pragma once

#include "host/config/run_config.h"
#include "host/train/evaluation.h"
#include "pergola/base_model.h"
#include "pergola/value.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pergola::host {

// Callbacks save their state under their names. Throws Error{kConfig} for one that is listed twice,
// or that has the name of one of the host's.
void check_callbacks(const std::vector<TypedConfig>& callbacks);

// Something must be learned from: throws Error{kConfig} when the config names no loss for a data
// set that is trained on, and the model does not make its own. A loss or a metric that is for other
// data sets alone is a warning.
void check_losses(const RunConfig& config, const BaseModel& model);

// Why an evaluation of a split that has so many samples gave no number: "the val split of data set
// dots is empty", or what leaves it out.
[[nodiscard]] std::string why_nothing_is_measured(const RunConfig& config, const std::string& split,
                                                  std::int64_t samples);

// `first`: what evaluate() says of the first validation batches, of splits of so many samples,
// before anything is learned; nothing where there is nothing to measure, which is a warning. Throws
// Error{kNan} for a loss that is not a finite number, unless training.exit_on_nan_losses is false,
// and Error{kConfig} when there is no training.early_stop.criteria.
void check_first_validation(const RunConfig& config, const Numbers& first, std::int64_t samples);

// Whether a run with the identity `now` goes on exactly where the one with `saved` stopped. Throws
// Error{kCheckpoint} when it cannot, because of other data sets, or others' turns, another
// optimizer or schedule, another number of training samples or division of train (split_train), or
// other values that say which samples make an update; another file of the plugin is a warning in
// the log. Both are tables of "dataset", "config", "seed", "train_samples" and "plugin"; what
// `saved` does not have is not compared. Nor is the optimizer with `new_optimizer`
// (checkpoint.reset.optimizer).
void check_continuation(const Value& saved, const Value& now, bool new_optimizer);

}  // namespace pergola::host
