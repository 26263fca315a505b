// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/lr_finder.h"

#include "pergola/error.h"

#include <algorithm>
#include <cmath>

namespace pergola::host {
namespace {

constexpr double kKeep = 0.9;  // of the average, for each further loss

// What an average that began with 0 is after `count` losses, without that 0.
double unbiased(double average, std::size_t count) {
  return average / (1 - std::pow(kKeep, static_cast<double>(count)));
}

// An exponential average forwards, and one of that backwards: each alone would shift the curve.
std::vector<double> smooth(std::vector<double> values) {
  for (int pass = 0; pass < 2; ++pass) {
    double average = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      average = kKeep * average + (1 - kKeep) * values[i];
      values[i] = unbiased(average, i + 1);
    }
    std::reverse(values.begin(), values.end());
  }
  return values;
}

}  // namespace

LrFinder::LrFinder(const LrFinderOptions& options) : options_(options) {
  PERGOLA_ASSERT(options_.num_updates >= 2 && options_.lowest > 0);
}

double LrFinder::rate(std::size_t update) const {
  const double part = static_cast<double>(update) / static_cast<double>(options_.num_updates - 1);
  return options_.lowest * std::pow(options_.highest / options_.lowest, part);
}

double LrFinder::next_rate() const { return rate(losses_.size()); }

bool LrFinder::done() const noexcept {
  return diverged_ || static_cast<std::int64_t>(losses_.size()) >= options_.num_updates;
}

void LrFinder::add(double loss) {
  PERGOLA_ASSERT(!done());
  if (!std::isfinite(loss)) {
    diverged_ = true;
    return;
  }
  losses_.push_back(loss);
  average_ = kKeep * average_ + (1 - kKeep) * loss;
  const double smoothed = unbiased(average_, losses_.size());
  if (losses_.size() == 1 || smoothed < lowest_) {
    lowest_ = smoothed;
    lowest_at_ = losses_.size() - 1;
  }
  diverged_ = smoothed - lowest_ > (options_.divergence - 1) * std::abs(lowest_);
}

std::vector<LrFinder::Point> LrFinder::points() const {
  std::vector<Point> points;
  for (std::size_t i = 0; i < losses_.size(); ++i) points.push_back({rate(i), losses_[i], {}});
  if (points.empty()) return points;
  // What comes after would reach back: a loss that diverges is larger than all others together.
  const std::vector<double> smoothed =
      smooth({losses_.begin(), losses_.begin() + static_cast<std::ptrdiff_t>(lowest_at_) + 1});
  for (std::size_t i = 0; i < smoothed.size(); ++i) points[i].smoothed = smoothed[i];
  return points;
}

std::optional<double> LrFinder::suggestion() const {
  const std::vector<Point> all = points();
  const auto first = static_cast<std::size_t>(std::max<std::int64_t>(1, options_.num_updates / 10));
  std::optional<double> best;
  double steepest = 0;
  for (std::size_t i = first; i + 1 < all.size() && all[i + 1].smoothed; ++i) {
    const double slope = *all[i + 1].smoothed - *all[i - 1].smoothed;
    if (slope >= steepest) continue;
    steepest = slope;
    best = all[i].rate;
  }
  return best;
}

}  // namespace pergola::host
