// SPDX-License-Identifier: BSD-3-Clause
// What a run that is resumed has otherwise in its config than the checkpoint. Main thread.
// No LibTorch here.
#pragma once

#include "pergola/config.h"
#include "pergola/value.h"

#include <string>
#include <vector>

namespace pergola::host {

// Each key whose value differs, as "key = now (it was before)", in the order of the keys. Keys that
// cannot change what is learnt are left out: paths, logs, what is kept; and so are those that `now`
// has as a default and `saved` does not know. `now` knows its origins. Strings are as a file has
// them, with references escaped, in `saved`, and resolved in `now`.
[[nodiscard]] std::vector<std::string> config_changes(const Value& saved, const Value& now);

// Says them in one line of the log, if there are some. `state`: a checkpoint's state.json, which
// may be without a config.
void log_config_changes(const Value& state, const Config& now);

}  // namespace pergola::host
