// SPDX-License-Identifier: BSD-3-Clause
// Drawings that are there without a script: charts, along updates and on a linear scale.
// page/chart.js draws by the same rules. No state; thread-safe.
#pragma once

#include "host/report/curves.h"
#include "host/report/html.h"

#include <cstddef>
#include <string>
#include <vector>

namespace pergola::host {

// Of a chart, in units of its viewBox.
struct Frame {
  double width = 420;
  double height = 220;
  double left = 50;
  double top = 8;
  double right = 408;
  double bottom = 192;
};

inline constexpr std::size_t kMostWithDots = 60;  // points of a curve that are marked each

// The figure with its legend. `id` is the element's, and the one in chart_data().
[[nodiscard]] Html draw_chart(const Chart& chart, const Curves& curves, const std::string& id);

// From `low` to `high`, 1, 2 or 5 times a power of ten apart, about `most` of them.
// REQUIRES: low < high.
[[nodiscard]] std::vector<double> ticks_of(double low, double high, int most);

}  // namespace pergola::host
