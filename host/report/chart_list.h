// SPDX-License-Identifier: BSD-3-Clause
// Which numbers of a run share a chart, and what it is called. Plain values; thread-safe.
#pragma once

#include "host/report/metrics.h"

#include <string>
#include <vector>

namespace pergola::host {

// What becomes a curve. The series is the Metrics' own.
struct ChartSource {
  std::string split;
  std::string label;
  const Series* series;
};

struct ChartDraft {
  std::string title;
  bool noisy;  // so that a smoothed line says more?
  std::vector<ChartSource> sources;
};

struct ChartGroupDraft {
  std::string title;
  std::vector<ChartDraft> charts;
};

// Groups of losses, metrics, learning rates, gradients, speed and memory, and whatever else there
// is; the sum of the losses first. Each name has one chart, with a curve for each split.
// REQUIRES: `metrics` outlives the result.
[[nodiscard]] std::vector<ChartGroupDraft> list_charts(const Metrics& metrics);

}  // namespace pergola::host
