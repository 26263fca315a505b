// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/metrics.h"

#include "host/support/json.h"
#include "pergola/error.h"
#include "pergola/value.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace pergola::host {
namespace {

// Differences of larger ones are no numbers.
constexpr double kMostNumber = 1e300;

// More splits than any run has, and more numbers than anybody looks at: a file of another kind
// shall not become a page of a million curves.
constexpr std::size_t kMostTracks = 12;
constexpr std::size_t kMostSeries = 1'000;

std::optional<double> number_of(const Value& value) {
  switch (value.type()) {
    case Value::Type::kInteger:
      return static_cast<double>(value.as_integer());
    case Value::Type::kFloat:
      return std::abs(value.as_float()) < kMostNumber ? value.as_float() : kNaN;
    case Value::Type::kNull:
      return kNaN;
    default:
      return std::nullopt;
  }
}

double number_at(const Value& row, std::string_view key) {
  const Value* value = row.find(key);
  return value == nullptr ? kNaN : number_of(*value).value_or(kNaN);
}

std::string text_at(const Value& row, std::string_view key) {
  const Value* value = row.find(key);
  return value != nullptr && value->is_string() ? value->as_string() : "";
}

bool is_place(std::string_view key) {
  return key == "update" || key == "epoch" || key == "time" || key == "split";
}

// Hands each number of the row to `use`, with its key.
template <class Use>
void each_number(const Value& table, const std::string& prefix, const Use& use) {
  for (const auto& [key, value] : table.as_table()) {
    if (prefix.empty() && is_place(key)) continue;
    if (value.is_table()) {
      each_number(value, prefix + key + "/", use);
    } else if (const std::optional<double> number = number_of(value)) {
      use(prefix + key, *number);
    }
  }
}

class Reader {
 public:
  void read(std::string_view line) {
    Value row;
    try {
      row = from_json(line, "");
    } catch (const Error&) {
      ++metrics_.damaged_lines;
      return;
    }
    const double update = row.is_table() ? number_at(row, "update") : kNaN;
    const std::string split = row.is_table() ? text_at(row, "split") : "";
    const bool fits = metrics_.tracks.contains(split) || metrics_.tracks.size() < kMostTracks;
    if (!std::isfinite(update) || split.empty() || !fits) {
      ++metrics_.damaged_lines;
      return;
    }
    ++metrics_.lines;
    note_time(row);
    if (row.find("checkpoint") != nullptr)
      add_final(row, split);
    else
      add(row, split, update);
  }

  Metrics take() { return std::move(metrics_); }

 private:
  void note_time(const Value& row) {
    const double time = number_at(row, "time");
    if (!(time > 0)) return;
    if (metrics_.first_time == 0) metrics_.first_time = time;
    metrics_.last_time = std::max(metrics_.last_time, time);
  }

  void add_final(const Value& row, const std::string& split) {
    FinalLine line{text_at(row, "checkpoint"), split, {}};
    each_number(row, "",
                [&](const std::string& key, double number) { line.numbers[key] = number; });
    metrics_.final_lines.push_back(std::move(line));
  }

  void add(const Value& row, const std::string& split, double update) {
    Track& track = metrics_.tracks[split];
    const auto index = static_cast<std::uint32_t>(track.update.size());
    track.update.push_back(update);
    track.time.push_back(number_at(row, "time"));
    note_epoch(update, number_at(row, "epoch"));
    each_number(row, "", [&](const std::string& key, double number) {
      const bool fits = track.series.size() < kMostSeries || track.series.contains(key);
      if (!fits) return;
      Series& series = track.series[key];
      series.rows.push_back(index);
      series.values.push_back(number);
    });
  }

  // A line of epoch e >= 1 is of update e * n at least, n being the updates of an epoch, and the
  // line at an epoch's end of exactly that one.
  void note_epoch(double update, double epoch) {
    metrics_.last_update = std::max(metrics_.last_update, static_cast<std::int64_t>(update));
    if (!(epoch >= 1) || !(update >= epoch)) return;
    metrics_.last_epoch = std::max(metrics_.last_epoch, static_cast<std::int64_t>(epoch));
    const double most = update / epoch;
    double& known = metrics_.updates_per_epoch;
    known = known == 0 ? most : std::min(known, most);
  }

  Metrics metrics_;
};

}  // namespace

Metrics parse_metrics(std::string_view text) {
  Reader reader;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(0, end);
    if (!line.empty()) reader.read(line);
    text.remove_prefix(end + 1);
  }
  Metrics metrics = reader.take();
  metrics.last_is_half_done = !text.empty();
  return metrics;
}

}  // namespace pergola::host
