// SPDX-License-Identifier: BSD-3-Clause
// What `pergola bench` does: it makes updates or predictions of a run, as the run would, and
// measures them. There is no run folder: nothing is validated, logged or saved. Main thread. No
// LibTorch here.
#pragma once

#include "host/config/resolve.h"
#include "host/plugin/catalog.h"
#include "host/run/bench_report.h"

#include <cstdint>
#include <filesystem>
#include <optional>

namespace pergola::host {

struct BenchRequest {
  const ResolvedConfig& config;
  const PluginCatalog& catalog;
  std::int64_t warm_up = 10;                        // steps before the first window, 0 at least
  std::int64_t steps = 20;                          // of a window, 1 at least
  std::int64_t windows = 5;                         // 1 at least
  std::optional<std::filesystem::path> trace = {};  // of a few steps after the windows (profiler.h)
};

// The training's updates with all that the config puts into them: loading, precision, clipping,
// averaged weights, callbacks of plugins, guards. What counts operations makes them slower, so that
// is done in some updates after the windows. Throws Error, and Stopped after a stop signal.
[[nodiscard]] BenchReport bench(const BenchRequest& request);

// The predictions of the split test, a batch each, instead of updates: from when the batch is on
// the device until its scores are there, one at a time, which is the latency. Its way to the
// device, metrics and prediction files are not in it; losses are, where the split has targets. The
// same passes over the split follow one another until there are enough. Throws as bench() does, and
// Error{kData} where the split has no samples.
[[nodiscard]] BenchReport bench_predictions(const BenchRequest& request);

}  // namespace pergola::host
