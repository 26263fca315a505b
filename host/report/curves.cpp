// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/curves.h"

#include "host/report/chart_list.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

namespace pergola::host {
namespace {

// Of a chart's width in pixels, about; fewer where there are many curves, so that a page stays
// small, and never so few that a curve loses its form.
constexpr std::size_t kMostColumns = 600;
constexpr std::size_t kFewestColumns = 120;
constexpr std::size_t kMostPoints = 60'000;  // in all
constexpr std::size_t kMostCharts = 120;

constexpr double kSmoothing = 0.6;
constexpr std::size_t kFewestToSmooth = 150;  // a curve of fewer points is read as it is

struct Columns {
  std::size_t index = 0;              // in Curves::tracks
  std::vector<std::uint32_t> of_row;  // numbers without gaps
};

// Lines that fall on one place along the updates share a column, when there are too many.
Columns make_columns(const Track& track, std::size_t most) {
  const std::size_t rows = track.update.size();
  const auto [low, high] = std::ranges::minmax(track.update);
  std::vector<std::size_t> place(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    const double along = low < high ? (track.update[i] - low) / (high - low)
                                    : static_cast<double>(i) / static_cast<double>(rows);
    place[i] = rows <= most ? i
                            : std::min(most - 1,
                                       static_cast<std::size_t>(along * static_cast<double>(most)));
  }
  std::vector<std::uint32_t> numbers(std::max(rows, most), 0);
  for (const std::size_t each : place) numbers[each] = 1;
  std::uint32_t next = 0;
  for (std::uint32_t& number : numbers) number = number == 0 ? 0 : next++;
  Columns columns;
  for (const std::size_t each : place) columns.of_row.push_back(numbers[each]);
  return columns;
}

// For each column the mean of the values that are numbers.
std::vector<double> means(const std::vector<double>& values, const Columns& columns) {
  const std::size_t count = columns.of_row.empty() ? 0 : 1 + std::ranges::max(columns.of_row);
  std::vector<double> sums(count, 0);
  std::vector<double> numbers(count, 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    sums[columns.of_row[i]] += values[i];
    numbers[columns.of_row[i]] += 1;
  }
  for (std::size_t i = 0; i < count; ++i) sums[i] = numbers[i] > 0 ? sums[i] / numbers[i] : kNaN;
  return sums;
}

// What falls on a column of a curve.
struct Cell {
  std::size_t lines = 0;
  std::size_t numbers = 0;
  double mean = 0;
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void add(double value) {
    ++lines;
    if (!std::isfinite(value)) return;
    ++numbers;
    mean += (value - mean) / static_cast<double>(numbers);
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

void take_points(const Series& series, const Columns& columns, Curve& curve) {
  std::map<std::uint32_t, Cell> cells;
  for (std::size_t i = 0; i < series.rows.size(); ++i) {
    cells[columns.of_row[series.rows[i]]].add(series.values[i]);
  }
  bool single = true;
  for (const auto& [column, cell] : cells) {
    if (cell.numbers < cell.lines)
      curve.bad.push_back(static_cast<std::uint32_t>(curve.columns.size()));
    single = single && cell.lines == 1;
    curve.columns.push_back(column);
    curve.mean.push_back(cell.numbers > 0 ? cell.mean : kNaN);
    curve.low.push_back(cell.numbers > 0 ? cell.low : kNaN);
    curve.high.push_back(cell.numbers > 0 ? cell.high : kNaN);
  }
  if (!single) return;
  curve.low.clear();
  curve.high.clear();
}

std::string colour_of(const std::string& label, std::size_t number) {
  if (label == "train" || label == "val" || label == "test") return label;
  constexpr std::size_t kFirst = 3;
  constexpr std::size_t kCount = 5;
  return "c" + std::to_string(kFirst + number % kCount);
}

Chart make_chart(const ChartDraft& draft, const ChartGroupDraft& group,
                 const std::map<std::string, Columns>& columns) {
  Chart chart{group.title, draft.title, {}};
  for (const ChartSource& source : draft.sources) {
    Curve curve;
    curve.label = source.label;
    curve.colour = colour_of(source.label, chart.curves.size());
    const Columns& of_split = columns.at(source.split);
    curve.track = of_split.index;
    curve.smooth = source.split == "train" && draft.noisy;
    take_points(*source.series, of_split, curve);
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

std::map<std::string, Columns> add_tracks(const Metrics& metrics, std::size_t most,
                                          Curves& curves) {
  std::map<std::string, Columns> all;
  curves.first_update = std::numeric_limits<double>::infinity();
  for (const auto& [split, track] : metrics.tracks) {
    Columns columns = make_columns(track, most);
    columns.index = curves.tracks.size();
    ColumnTrack shared{means(track.update, columns), means(track.time, columns)};
    for (double& time : shared.time) time -= metrics.first_time;
    const auto [low, high] = std::ranges::minmax(track.update);
    curves.first_update = std::min(curves.first_update, low);
    curves.last_update = std::max(curves.last_update, high);
    curves.tracks.push_back(std::move(shared));
    all.emplace(split, std::move(columns));
  }
  return all;
}

}  // namespace

Curves make_curves(const Metrics& metrics) {
  Curves curves;
  if (metrics.tracks.empty()) return curves;
  const std::vector<ChartGroupDraft> groups = list_charts(metrics);
  std::size_t sources = 0;
  for (const ChartGroupDraft& group : groups) {
    for (const ChartDraft& draft : group.charts) sources += draft.sources.size();
  }
  const std::size_t most =
      std::clamp(kMostPoints / std::max<std::size_t>(1, sources), kFewestColumns, kMostColumns);
  const std::map<std::string, Columns> columns = add_tracks(metrics, most, curves);
  for (const ChartGroupDraft& group : groups) {
    for (const ChartDraft& draft : group.charts) {
      if (curves.charts.size() < kMostCharts)
        curves.charts.push_back(make_chart(draft, group, columns));
      else
        ++curves.left_out;
    }
  }
  curves.updates_per_epoch = metrics.updates_per_epoch;
  curves.seconds = std::max(0.0, metrics.last_time - metrics.first_time);
  const bool is_long = std::ranges::any_of(curves.tracks, [](const ColumnTrack& track) {
    return track.update.size() >= kFewestToSmooth;
  });
  curves.smoothing = is_long ? kSmoothing : 0;
  return curves;
}

std::vector<double> smoothed(const std::vector<double>& values, double weight) {
  std::vector<double> result;
  double sum = 0;
  double norm = 0;
  for (const double value : values) {
    if (std::isfinite(value)) {
      sum = sum * weight + value * (1 - weight);
      norm = norm * weight + 1 - weight;
    }
    result.push_back(std::isfinite(value) ? sum / norm : kNaN);
  }
  return result;
}

}  // namespace pergola::host
