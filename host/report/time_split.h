// SPDX-License-Identifier: BSD-3-Clause
// Where the time of a training went. No state; thread-safe.
#pragma once

#include "host/report/html.h"
#include "host/report/run_facts.h"

namespace pergola::host {

// A bar and a table of phases, from `system/seconds/<phase>` of the log lines, or else from `time`
// of the summary; empty when nothing says it.
[[nodiscard]] Html time_body(const RunFacts& facts);

}  // namespace pergola::host
