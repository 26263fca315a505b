// SPDX-License-Identifier: BSD-3-Clause
// The parts of the page, each a function of what is known of the run; empty when there is nothing
// to show. No state; thread-safe.
#pragma once

#include "host/report/curves.h"
#include "host/report/html.h"
#include "host/report/run_facts.h"

#include <string>

namespace pergola::host {

struct StateText {
  std::string style;  // a class of page.css
  std::string text;
};

[[nodiscard]] StateText state_text(RunState state);

// Best value, updates, time, device.
[[nodiscard]] Html tiles(const RunFacts& facts);
[[nodiscard]] Html curves_body(const Curves& curves);
// Of the evaluation after training.
[[nodiscard]] Html results_body(const RunFacts& facts);
[[nodiscard]] Html checkpoints_body(const RunFacts& facts);
[[nodiscard]] Html system_body(const RunFacts& facts);
[[nodiscard]] Html config_body(const ConfigList& config);
[[nodiscard]] Html log_body(const LogText& log);

}  // namespace pergola::host
