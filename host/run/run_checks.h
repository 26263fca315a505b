// SPDX-License-Identifier: BSD-3-Clause
// What a run is refused for before it touches its folder, beyond what the config alone shows. Main
// thread.
#pragma once

#include "host/config/run_config.h"
#include "host/train/evaluation.h"
#include "pergola/value.h"

#include <vector>

namespace pergola::host {

// Callbacks save their state under their names. Throws Error{kConfig} for one that is listed twice,
// or that has the name of one of the host's.
void check_callbacks(const std::vector<TypedConfig>& callbacks);

// A typing mistake in training.early_stop.criteria is said now, not after an epoch: throws
// Error{kConfig} when the name is close to one that a validation has. Other names may be those of
// losses that the model makes itself; the first validation shows.
void check_criteria(const RunConfig& config, const MetricList& metrics);

// Whether a run with the identity `now` goes on exactly where the one with `saved` stopped. Throws
// Error{kCheckpoint} when it cannot, because of another data set or optimizer, another number of
// training samples, or other values that say which samples make an update; another file of the
// plugin is a warning in the log. Both are tables of "dataset", "config", "seed", "train_samples"
// and "plugin"; what `saved` does not have is not compared.
void check_continuation(const Value& saved, const Value& now);

}  // namespace pergola::host
