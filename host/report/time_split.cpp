// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/time_split.h"

#include "host/report/format.h"
#include "pergola/error.h"

#include <cmath>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using Seconds = std::map<std::string, double>;  // of each phase

Seconds sums_of_lines(const Metrics& metrics) {
  constexpr std::string_view kPrefix = "system/seconds/";
  Seconds sums;
  for (const auto& [split, track] : metrics.tracks) {
    for (const auto& [key, series] : track.series) {
      if (!key.starts_with(kPrefix)) continue;
      double& sum = sums[key.substr(kPrefix.size())];
      for (const double value : series.values) sum += std::isfinite(value) && value > 0 ? value : 0;
    }
  }
  return sums;
}

// Of the last process alone.
Seconds sums_of_summary(const Value& summary) {
  Seconds sums;
  const Value* time = summary.find("time");
  if (time == nullptr || !time->is_table()) return sums;
  for (const auto& [phase, seconds] : time->as_table()) {
    const bool known = seconds.type() == Value::Type::kFloat && std::isfinite(seconds.as_float());
    if (known && seconds.as_float() > 0) sums[phase] = seconds.as_float();
  }
  return sums;
}

// In the order in which they come in an update, then those that we do not know.
std::vector<std::pair<std::string, double>> in_order(Seconds sums) {
  std::vector<std::pair<std::string, double>> phases;
  for (const char* name :
       {"data", "forward", "backward", "optimizer", "callbacks", "validation", "checkpoint"}) {
    const auto found = sums.extract(name);
    if (found) phases.emplace_back(found.key(), found.mapped());
  }
  phases.insert(phases.end(), sums.begin(), sums.end());
  return phases;
}

}  // namespace

Html time_body(const RunFacts& facts) {
  Seconds sums = sums_of_lines(facts.metrics);
  const bool logged = !sums.empty();
  const auto phases = in_order(logged ? std::move(sums) : sums_of_summary(facts.summary));
  double all = 0;
  for (const auto& [name, seconds] : phases) all += seconds;
  if (!(all > 0)) return {};
  constexpr double kWidth = 1000;  // of the drawing
  static constexpr const char* kColours[] = {"val", "train", "c3", "test", "c4", "c5", "c6", "c7"};
  Html bars;
  Html rows;
  std::string label;
  double x = 0;
  std::size_t number = 0;
  for (const auto& [name, seconds] : phases) {
    const double width = kWidth * seconds / all;
    const char* const colour = kColours[number++ % std::size(kColours)];
    bars += fill("bar", {{"colour", colour}, {"x", coordinate(x)}, {"width", coordinate(width)}});
    rows += fill("phase", {{"colour", colour},
                           {"name", name},
                           {"seconds", short_number(seconds) + " s"},
                           {"percent", percent(seconds / all)}});
    label += concat(label.empty() ? "" : ", ", name, " ", percent(seconds / all));
    x += width;
  }
  return fill(
      "time",
      {{"text", duration(all) + (logged ? " until the last log line." : " in the last process.")},
       {"label", label},
       {"bars", bars},
       {"rows", rows}});
}

}  // namespace pergola::host
