// SPDX-License-Identifier: BSD-3-Clause
// Parameters that a run does not train, chosen by name.
#pragma once

#include "pergola/base_model.h"
#include "pergola/config.h"

#include <string_view>

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

}  // namespace pergola::host
