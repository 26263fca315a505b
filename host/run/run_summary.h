// SPDX-License-Identifier: BSD-3-Clause
// summary.json: how a run stands or ended (architecture.md has its keys). Main thread.
#pragma once

#include "host/config/run_config.h"
#include "host/run/session.h"
#include "host/run/training.h"
#include "pergola/callback.h"
#include "pergola/value.h"

#include <string>

namespace pergola::host {

struct SummaryFacts {
  std::string status;   // "running", "finished", "interrupted", "nan" or "failed"
  std::string problem;  // of the last two; otherwise ""
  double seconds;       // of this process
  const RunConfig& config;
  const Numbers& metrics;              // of the evaluation after training
  const Session* session = nullptr;    // null: the run did not come so far
  const Training* training = nullptr;  // likewise
};

[[nodiscard]] Value run_summary(const SummaryFacts& facts);

}  // namespace pergola::host
