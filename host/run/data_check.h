// SPDX-License-Identifier: BSD-3-Clause
// Whether numbers still mean the words and classes that a checkpoint was trained with. Main thread.
// No LibTorch here.
#pragma once

#include "host/config/run_config.h"
#include "pergola/value.h"

#include <map>
#include <string>

namespace pergola::host {

// `saved`: what a checkpoint has of a data set's state_dict(); `now`: the same of `dataset` in
// `config`.
// Compares what their `processors` keep, where `saved` has it: what else is in them shows in shapes
// of weights and batches. Throws Error{kCheckpoint} that names the first word that differs, and
// where the words come from.
void check_same_words(const Value& saved, const Value& now, const RunConfig& config,
                      const std::string& dataset);

// `states`: what state_dict() is of each data set of a run, by name. A warning for each processor
// that numbers its words otherwise in one data set than in another: a model with one table of
// words, or one list of answers, mixes the two.
void warn_of_other_words(const std::map<std::string, Value>& states);

}  // namespace pergola::host
