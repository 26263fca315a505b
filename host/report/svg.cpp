// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/svg.h"

#include "host/report/format.h"
#include "pergola/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace pergola::host {
namespace {

struct Range {
  double low;
  double high;
};

const std::vector<double>& lows(const Curve& curve) {
  return curve.low.empty() ? curve.mean : curve.low;
}
const std::vector<double>& highs(const Curve& curve) {
  return curve.high.empty() ? curve.mean : curve.high;
}

// Of all values, with some air; nothing when there are none.
std::optional<Range> value_range(const Chart& chart) {
  Range range{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (const Curve& curve : chart.curves) {
    for (const double value : lows(curve)) {
      if (std::isfinite(value)) range.low = std::min(range.low, value);
    }
    for (const double value : highs(curve)) {
      if (std::isfinite(value)) range.high = std::max(range.high, value);
    }
  }
  if (range.low > range.high) return std::nullopt;
  double air = (range.high - range.low) * 0.04;
  if (range.low == range.high) air = range.low == 0 ? 1 : std::abs(range.low) * 0.1;
  const bool ends_at_zero = range.low >= 0 && range.low - air < 0;
  return Range{ends_at_zero ? 0 : range.low - air, range.high + air};
}

// Where a value is in the drawing.
class Scale {
 public:
  Scale(const Range& x, const Range& y) : x_(x), y_(y) {}

  [[nodiscard]] double x(double value) const {
    return frame_.left + (value - x_.low) / (x_.high - x_.low) * (frame_.right - frame_.left);
  }
  [[nodiscard]] double y(double value) const {
    return frame_.bottom - (value - y_.low) / (y_.high - y_.low) * (frame_.bottom - frame_.top);
  }
  [[nodiscard]] std::string point(double along, double value) const {
    return coordinate(x(along)) + " " + coordinate(y(value));
  }
  [[nodiscard]] const Frame& frame() const noexcept { return frame_; }

 private:
  Frame frame_;
  Range x_;
  Range y_;
};

// Through the lowest and the highest value of each column, where it stands for many lines.
std::string line_path(const std::vector<double>& along, const std::vector<double>& low,
                      const std::vector<double>& high, const Scale& scale) {
  std::string d;
  bool pen = false;
  for (std::size_t i = 0; i < low.size(); ++i) {
    if (!std::isfinite(low[i])) {
      pen = false;
      continue;
    }
    d += (pen ? "L" : "M") + scale.point(along[i], low[i]);
    if (high[i] != low[i]) d += "L" + scale.point(along[i], high[i]);
    const bool ends = i + 1 == low.size() || !std::isfinite(low[i + 1]);
    if (!pen && ends) d += "h0";  // one point alone; round ends make a dot of it
    pen = true;
  }
  return d;
}

std::string dots_path(const std::vector<double>& along, const std::vector<double>& values,
                      const Scale& scale) {
  std::string d;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) d += "M" + scale.point(along[i], values[i]) + "h0";
  }
  return d;
}

std::string bad_path(const std::vector<double>& along, const Curve& curve, const Scale& scale) {
  std::string d;
  for (const std::uint32_t i : curve.bad) {
    d += concat("M", coordinate(scale.x(along[i])), " ", coordinate(scale.frame().bottom), "v-6");
  }
  return d;
}

Html draw_curve(const Curve& curve, const Curves& curves, const Scale& scale) {
  const ColumnTrack& track = curves.tracks[curve.track];
  std::vector<double> along;
  for (const std::uint32_t column : curve.columns) along.push_back(track.update[column]);
  Html plot;
  const auto add = [&](const char* kind, const std::string& d) {
    if (!d.empty()) plot += fill("line", {{"kind", kind}, {"colour", curve.colour}, {"d", d}});
  };
  const std::string raw = line_path(along, lows(curve), highs(curve), scale);
  if (curve.smooth && curves.smoothing > 0) {
    const std::vector<double> means = smoothed(curve.mean, curves.smoothing);
    add("raw", raw);
    add("smooth", line_path(along, means, means, scale));
  } else {
    add("smooth", raw);
  }
  const bool marked = !curve.smooth && curve.mean.size() <= kMostWithDots;
  if (marked) add("dots", dots_path(along, curve.mean, scale));
  add("bad", bad_path(along, curve, scale));
  return plot;
}

double largest(const std::vector<double>& ticks) {
  return ticks.empty() ? 0 : std::max(std::abs(ticks.front()), std::abs(ticks.back()));
}

Html draw_grid(const Range& x, const std::optional<Range>& y, const Scale& scale) {
  constexpr int kMostRows = 4;
  constexpr int kMostMarks = 5;
  const Frame& frame = scale.frame();
  Html grid;
  const std::vector<double> rows = y ? ticks_of(y->low, y->high, kMostRows) : std::vector<double>();
  for (const double value : rows) {
    grid += fill("tick_y", {{"left", coordinate(frame.left)},
                            {"right", coordinate(frame.right)},
                            {"y", coordinate(scale.y(value))},
                            {"text_x", coordinate(frame.left - 6)},
                            {"text_y", coordinate(scale.y(value) + 4)},
                            {"text", short_number(value, largest(rows))}});
  }
  const std::vector<double> marks = ticks_of(x.low, x.high, kMostMarks);
  for (const double value : marks) {
    grid += fill("tick_x", {{"x", coordinate(scale.x(value))},
                            {"y", coordinate(frame.bottom + 16)},
                            {"text", short_number(value, largest(marks))}});
  }
  return grid;
}

double last_value(const Curve& curve) {
  for (auto it = curve.mean.rbegin(); it != curve.mean.rend(); ++it) {
    if (std::isfinite(*it)) return *it;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// What somebody who does not see the drawing is told.
std::string describe(const Chart& chart) {
  std::string text = chart.title + " along updates.";
  for (const Curve& curve : chart.curves) {
    const auto finite = [](double value) { return std::isfinite(value); };
    const auto first = std::ranges::find_if(curve.mean, finite);
    if (first == curve.mean.end()) {
      text += " " + curve.label + ": no number.";
      continue;
    }
    double low = *first;
    double high = *first;
    for (const double value : lows(curve)) low = finite(value) ? std::min(low, value) : low;
    for (const double value : highs(curve)) high = finite(value) ? std::max(high, value) : high;
    text += concat(" ", curve.label, ": from ", short_number(*first), " to ",
                   short_number(last_value(curve)), ", lowest ", short_number(low), ", highest ",
                   short_number(high), ".");
    if (!curve.bad.empty()) text += " Some numbers are not finite.";
  }
  return text;
}

}  // namespace

std::vector<double> ticks_of(double low, double high, int most) {
  PERGOLA_ASSERT(low < high);
  const double rough = (high - low) / most;
  const double base = std::pow(10, std::floor(std::log10(rough)));
  const double ratio = rough / base;
  const double step = base * (ratio > 5 ? 10 : ratio > 2 ? 5 : ratio > 1 ? 2 : 1);
  std::vector<double> ticks;
  // Far from zero, or where numbers are so close that steps are none, there are no round numbers.
  constexpr double kMostSteps = 1e15;
  if (!(step > 0) || !(std::abs(low / step) < kMostSteps) ||
      !(std::abs(high / step) < kMostSteps)) {
    return ticks;
  }
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) {
    ticks.push_back(i * step);
  }
  return ticks;
}

Html draw_chart(const Chart& chart, const Curves& curves, const std::string& id) {
  const std::optional<Range> y = value_range(chart);
  Range x{curves.first_update, curves.last_update};
  if (x.low == x.high) x = {x.low - 0.5, x.high + 0.5};
  const Scale scale(x, y.value_or(Range{0, 1}));
  Html plot;
  Html legend;
  for (const Curve& curve : chart.curves) {
    plot += draw_curve(curve, curves, scale);
    legend += fill("legend", {{"colour", curve.colour},
                              {"label", curve.label},
                              {"value", short_number(last_value(curve))}});
  }
  return fill("chart", {{"id", id},
                        {"group", chart.group},
                        {"title", chart.title},
                        {"width", coordinate(scale.frame().width)},
                        {"height", coordinate(scale.frame().height)},
                        {"label", describe(chart)},
                        {"grid", draw_grid(x, y, scale)},
                        {"plot", plot},
                        {"legend", legend}});
}

}  // namespace pergola::host
