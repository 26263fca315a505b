// SPDX-License-Identifier: BSD-3-Clause
// The numbers behind the charts, for page/chart.js. No state; thread-safe.
#pragma once

#include "host/report/curves.h"

#include <cstddef>
#include <string>

namespace pergola::host {

// The id of the element of the chart with this number.
[[nodiscard]] std::string chart_id(std::size_t number);

// JSON: frame, ranges, `tracks` ({u, t}: updates and times of columns) and `charts`, whose curves
// have k (track), s (1: smoothed), c (columns, where not all), v (means), lo, hi, bad. null is a
// gap.
[[nodiscard]] std::string chart_data(const Curves& curves);

}  // namespace pergola::host
