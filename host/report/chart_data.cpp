// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/chart_data.h"

#include "host/report/format.h"
#include "host/report/svg.h"
#include "pergola/error.h"

#include <cmath>
#include <vector>

namespace pergola::host {
namespace {

constexpr int kDigitsOfUpdates = 12;

// By hand, since six digits are enough to draw, and to_json() writes all seventeen.
std::string list(const std::vector<double>& values, int digits = 6) {
  std::string text = "[";
  for (const double value : values) {
    if (text.size() > 1) text += ',';
    text += std::isfinite(value) ? digits_of(value, digits) : "null";
  }
  return text + "]";
}

std::string list_of_indices(const std::vector<std::uint32_t>& values) {
  std::string text = "[";
  for (const std::uint32_t value : values) {
    if (text.size() > 1) text += ',';
    text += std::to_string(value);
  }
  return text + "]";
}

std::string curve_data(const Curve& curve, const ColumnTrack& track) {
  std::string text = concat("{\"k\":", curve.track, ",\"v\":", list(curve.mean));
  if (curve.smooth) text += ",\"s\":1";
  if (curve.columns.size() != track.update.size())
    text += ",\"c\":" + list_of_indices(curve.columns);
  if (!curve.low.empty()) text += ",\"lo\":" + list(curve.low) + ",\"hi\":" + list(curve.high);
  if (!curve.bad.empty()) text += ",\"bad\":" + list_of_indices(curve.bad);
  return text + "}";
}

}  // namespace

std::string chart_id(std::size_t number) { return "chart-" + std::to_string(number); }

std::string chart_data(const Curves& curves) {
  const Frame frame;
  std::string text = concat(
      "{\"smoothing\":", curves.smoothing, ",\"dots\":", kMostWithDots, ",\"width\":", frame.width,
      ",\"box\":", list({frame.left, frame.top, frame.right, frame.bottom}),
      ",\"update\":", list({curves.first_update, curves.last_update}, kDigitsOfUpdates),
      ",\"epoch\":", digits_of(curves.updates_per_epoch, kDigitsOfUpdates),
      ",\"time\":", list({0.0, curves.seconds}), ",\"tracks\":[");
  const char* comma = "";
  for (const ColumnTrack& track : curves.tracks) {
    text += concat(comma, "{\"u\":", list(track.update, kDigitsOfUpdates),
                   ",\"t\":", list(track.time), "}");
    comma = ",";
  }
  text += "],\"charts\":[";
  comma = "";
  std::size_t number = 0;
  for (const Chart& chart : curves.charts) {
    text += concat(comma, "{\"id\":\"", chart_id(number++), "\",\"curves\":[");
    comma = "";
    for (const Curve& curve : chart.curves) {
      text += comma + curve_data(curve, curves.tracks[curve.track]);
      comma = ",";
    }
    text += "]}";
  }
  return text + "]}";
}

}  // namespace pergola::host
