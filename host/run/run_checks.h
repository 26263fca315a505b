// SPDX-License-Identifier: BSD-3-Clause
// What a run is refused for before it touches its folder, beyond what the config alone shows. Main
// thread.
#pragma once

#include "host/config/run_config.h"
#include "host/train/evaluation.h"
#include "pergola/base_model.h"
#include "pergola/value.h"

#include <vector>

namespace pergola::host {

// Callbacks save their state under their names. Throws Error{kConfig} for one that is listed twice,
// or that has the name of one of the host's.
void check_callbacks(const std::vector<TypedConfig>& callbacks);

// Something must be learned from: throws Error{kConfig} when the config names no loss and the model
// does not make its own.
void check_losses(const RunConfig& config, const BaseModel& model);

// Throws Error{kConfig} when training.early_stop.criteria is no number that a validation will have:
// of a metric, of a loss, or total_loss. Where the model makes losses of its own, whose names
// nobody knows yet, only a typing mistake is refused; the first validation shows the rest.
void check_criteria(const RunConfig& config, const MetricList& metrics, const BaseModel& model);

// Whether a run with the identity `now` goes on exactly where the one with `saved` stopped. Throws
// Error{kCheckpoint} when it cannot, because of another data set or optimizer, another number of
// training samples, or other values that say which samples make an update; another file of the
// plugin is a warning in the log. Both are tables of "dataset", "config", "seed", "train_samples"
// and "plugin"; what `saved` does not have is not compared.
void check_continuation(const Value& saved, const Value& now);

}  // namespace pergola::host
