// SPDX-License-Identifier: BSD-3-Clause
// What the files of a run's folder say of it. A run may be going on, have died at any moment, or be
// a copy from elsewhere: what is missing or damaged becomes a note, and never an error. Plain
// values; thread-safe.
#pragma once

#include "host/report/config_list.h"
#include "host/report/log_text.h"
#include "host/report/metrics.h"
#include "host/report/saved_checkpoints.h"
#include "pergola/value.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

enum class RunState {
  kFinished,
  kInterrupted,
  kFailed,
  kNan,
  kRunning,  // a process holds the folder's lock
  kEnded,    // nobody that is seen from here does, and no summary says how it ended
};

struct RunFacts {
  std::filesystem::path folder;
  RunState state = RunState::kEnded;
  ConfigList config;
  Metrics metrics;
  Value summary = Value::Table{};           // summary.json, unless the run went on after it
  Value checkpoint_state = Value::Table{};  // state.json of `last`, or of the newest checkpoint
  SavedCheckpoints checkpoints;
  LogText log;
  std::vector<std::string> notes;  // for the reader
  std::string error;               // what ended it; "" when nothing did

  // "pythia" of the config, the summary or a checkpoint.
  [[nodiscard]] std::string name_of(const char* key) const;
};

// The monitored number at its best.
struct BestValue {
  std::string criteria;
  double value = 0;
  std::int64_t update = 0;
};

// Throws Error{kCheckpoint} for a folder that is not there or holds no run, naming one in it that
// does; nothing else that is wrong is an error.
[[nodiscard]] RunFacts read_run(const std::filesystem::path& folder);

// As the summary of the run's end says, or else the validations.
[[nodiscard]] std::optional<BestValue> best_value(const RunFacts& facts);

}  // namespace pergola::host
