// SPDX-License-Identifier: BSD-3-Clause
// Builds the parts of a run that the config names, with the errors that a user needs.
#pragma once

#include "pergola/registry.h"

#include <memory>
#include <string>

namespace pergola::host {

// The model `key` from model_config.<key>: constructed, built, its losses attached, on the CPU.
// Keys of `facts` that the config has as 0 are filled in (the vocabulary's size, the number of
// answers). An exception of the plugin becomes an Error{kPlugin} naming model and hook, here and
// below. Throws Error{kConfig} when the config's text_vocab_size or num_final_outputs is less than
// the data set's.
[[nodiscard]] std::shared_ptr<BaseModel> build_model(const Registry& registry,
                                                     const std::string& key,
                                                     const Config& model_config,
                                                     const Value& facts);

// The optimizer over the model's parameter groups; what does not require a gradient is left out of
// them. Throws Error{kPlugin} when the model has no parameters, and when the groups leave out a
// parameter that requires one, have one twice, or under another name than the model;
// `allow_unused_parameters` permits leaving out. `config` is the `optimizer` table.
[[nodiscard]] std::unique_ptr<Optimizer> build_optimizer(const Registry& registry,
                                                         const BaseModel& model,
                                                         const Config& config);

// How long a run is, for its schedule.
struct RunLength {
  std::int64_t updates;
  // For how many updates each number of the schedule holds: 1, or those of an epoch for a schedule
  // that counts epochs.
  std::int64_t updates_per_step = 1;
};

// The schedule `type`. Where it has a parameter num_training_steps that is not given, that is the
// run's length, in updates or epochs as the schedule counts.
[[nodiscard]] std::unique_ptr<Scheduler> build_scheduler(const Registry& registry,
                                                         const std::string& type,
                                                         const Config& params, RunLength length);

}  // namespace pergola::host
