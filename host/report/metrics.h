// SPDX-License-Identifier: BSD-3-Clause
// metrics.jsonl as columns of numbers, whatever keys it has. A plain value; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

// Where there is no number, or no finite one.
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// One number of the lines of a split. Lines without it are left out.
struct Series {
  std::vector<std::uint32_t> rows;  // in the Track's vectors; ascending
  std::vector<double> values;       // NaN where the line has null, or no finite number
};

// The lines of one split, in their order.
struct Track {
  std::vector<double> update;
  std::vector<double> time;  // seconds since 1970; NaN where a line does not say
  // By key; what is in a nested object has the keys joined by `/`.
  std::map<std::string, Series> series;
};

// A line of the evaluation after training.
struct FinalLine {
  std::string checkpoint;  // "best" or "last"
  std::string split;
  std::map<std::string, double> numbers;  // NaN for null
};

struct Metrics {
  std::map<std::string, Track> tracks;  // by split, without the final lines
  std::vector<FinalLine> final_lines;
  std::size_t lines = 0;           // that could be read
  std::size_t damaged_lines = 0;   // that could not
  bool last_is_half_done = false;  // it has no end yet, and was left out
  std::int64_t last_update = 0;
  std::int64_t last_epoch = 0;
  double updates_per_epoch = 0;  // 0: not known
  double first_time = 0;         // of all lines; 0: none says
  double last_time = 0;
};

// What a metrics.jsonl holds. A line that is no JSON object with `split` and `update` is counted
// and left out, since the run may be writing, and may have been torn by a crash.
[[nodiscard]] Metrics parse_metrics(std::string_view text);

}  // namespace pergola::host
