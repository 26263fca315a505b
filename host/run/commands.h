// SPDX-License-Identifier: BSD-3-Clause
// What `pergola train`, `validate`, `test` and `predict` do once their command line is understood.
// Main thread. No LibTorch here.
#pragma once

#include "host/config/resolve.h"
#include "host/plugin/catalog.h"
#include "host/train/run_folder.h"
#include "pergola/component.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

struct TrainRequest {
  const ResolvedConfig& config;
  const PluginCatalog& catalog;
  ExistingRun existing = ExistingRun::kRefuse;
  bool progress_bar = true;
};

struct EvaluateRequest {
  const ResolvedConfig& config;
  const PluginCatalog& catalog;
  std::string split;  // "val" or "test"
  // A checkpoint, a run or weights of others. None: best of the run's folder, or last; where it has
  // none, checkpoint.resume_file, and then checkpoint.pretrained.
  std::optional<std::filesystem::path> checkpoint;
  bool predict = false;  // write the prediction file as well
};

struct RunResult {
  std::string status;                        // "finished" or "interrupted"
  int stop_signal = 0;                       // what interrupted it
  std::int64_t updates = 0;                  // that the weights have been trained for
  std::map<std::string, double> metrics;     // of the last validation and of the test split
  std::filesystem::path run_dir;             // empty when nothing was written
  std::filesystem::path checkpoint;          // whose weights the metrics are of
  std::vector<std::filesystem::path> files;  // predictions that were written
};

// Trains, then evaluates as run_type says; writes the run's folder. With run_type without train, it
// evaluates alone. Throws Error; the folder then holds the last checkpoint and a summary.json
// that says what went wrong.
[[nodiscard]] RunResult train(const TrainRequest& request);

// Metrics, and predictions if asked for, of a checkpoint on a split.
[[nodiscard]] RunResult evaluate(const EvaluateRequest& request);

// One key that a config can name.
struct ListedKey {
  std::string source;  // "host", or the plugin's file
  ComponentSpec spec;
};

// All that the registry has of a kind ("model", "loss", ...); plugins are read, not loaded.
[[nodiscard]] std::map<std::string, ListedKey> list_keys(const PluginCatalog& catalog,
                                                         const std::string& kind);

}  // namespace pergola::host
