// SPDX-License-Identifier: BSD-3-Clause
// Which charts a run's numbers make, and which points of a curve are drawn: at most one column of
// them for a pixel, with the lowest, the mean and the highest value of its lines, so that no spike
// is lost and a page stays small however long the run was. Plain values; thread-safe.
#pragma once

#include "host/report/metrics.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pergola::host {

// A curve, cut down to what is drawn of it. A column without any finite number is a gap.
struct Curve {
  std::string label;                   // "train", or what the number is called
  std::string colour;                  // a class of page.css
  std::size_t track = 0;               // in Curves::tracks
  bool smooth = false;                 // is it noisy, so that it gets a smoothed line?
  std::vector<std::uint32_t> columns;  // of the track, ascending
  std::vector<double> mean;            // NaN is a gap
  std::vector<double> low;             // both empty when each column is of one line
  std::vector<double> high;
  std::vector<std::uint32_t> bad;  // indices into `columns` of those with a number that is none
};

struct Chart {
  std::string group;  // "Losses"
  std::string title;
  std::vector<Curve> curves;
};

// The columns that all curves of a split share.
struct ColumnTrack {
  std::vector<double> update;  // means of the lines of each column
  std::vector<double> time;    // since the run's first line; NaN when not known
};

struct Curves {
  std::vector<ColumnTrack> tracks;
  std::vector<Chart> charts;
  double first_update = 0;
  double last_update = 0;
  double updates_per_epoch = 0;  // 0: not known
  double seconds = 0;            // from first to last line; 0: not known
  double smoothing = 0;          // the weight to begin with: none for a short run
  std::size_t left_out = 0;      // charts, because there are too many
};

// Losses, metrics, learning rate, gradients, speed and memory, and whatever else there is, one
// chart for each number with a curve for each split.
[[nodiscard]] Curves make_curves(const Metrics& metrics);

// Exponential moving average of `values`, as if it had begun long ago; gaps stay gaps.
[[nodiscard]] std::vector<double> smoothed(const std::vector<double>& values, double weight);

}  // namespace pergola::host
