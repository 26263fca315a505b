// SPDX-License-Identifier: BSD-3-Clause
// Parameters that a run does not train, or not from its begin, chosen by name. Main thread.
#pragma once

#include "host/config/run_config.h"
#include "pergola/base_model.h"
#include "pergola/config.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

// Whether `name` is what `pattern` says, from its first to its last character: `*` stands for any
// characters, dots among them, `?` for one.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view name) noexcept;

// Lets no parameter require a gradient whose name one of the patterns `freeze` of `training`, the
// config's table, matches; says in the log how many. Buffers, such as the statistics of batch norm,
// are no parameters and go on moving. Throws Error{kConfig} for a pattern that matches none, with
// the closest name, and when nothing would be left to train. REQUIRES: the model is built; its
// optimizer is not.  [main-thread]
void freeze_parameters(BaseModel& model, const Config& training);

// `training.unfreeze`: parameters that are frozen until a number of updates is done. Which they are
// is a function of that number alone, so that a resumed run needs no state. Shares the model's
// tensors.
class FreezeSchedule {
 public:
  // `updates_per_epoch` makes updates of epochs, a fraction of one rounded up. A parameter that
  // several entries name is frozen until the last of them; what training.freeze has frozen stays
  // so. Nothing is frozen yet: an optimizer that is built now takes all that will be trained.
  // Throws Error{kConfig} for a pattern that matches no parameter, with the closest name, for an
  // entry all of whose parameters training.freeze names too, for an `after` in seconds, and when
  // nothing would be trained at first.  REQUIRES: freeze_parameters() was called.
  FreezeSchedule(const BaseModel& model, const std::vector<UnfreezeConfig>& config,
                 std::int64_t updates_per_epoch);

  // Lets each parameter require a gradient or not, as it is to be when `updates` updates are done;
  // says in the log what changes.
  void apply(std::int64_t updates);

  // Where the entries stand that still freeze something when a run ends after so many updates.
  [[nodiscard]] std::vector<std::string> frozen_until_end(std::int64_t max_updates) const;

 private:
  struct Entry {
    std::string where;
    std::int64_t after = 0;              // updates
    std::vector<at::Tensor> parameters;  // each in one entry alone
    bool frozen = false;
  };

  void check_begin(const BaseModel& model) const;

  std::vector<Entry> entries_;
};

}  // namespace pergola::host
