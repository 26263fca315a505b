// SPDX-License-Identifier: BSD-3-Clause
// The learning-rate range test (Smith, "Cyclical Learning Rates for Training Neural Networks",
// 2017): the rate grows from update to update, and where the loss falls fastest is a good one. The
// search alone; who uses it makes the updates. Main thread. No LibTorch here.
//
//   LrFinder finder;
//   while (!finder.done()) finder.add(loss of an update with the rate finder.next_rate());
//   finder.suggestion()
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace pergola::host {

struct LrFinderOptions {
  double lowest = 1e-8;
  double highest = 1;
  std::int64_t num_updates = 100;  // at least 2
  // Ends when the smoothed loss has risen from the lowest so far to this many times that, or, for
  // losses that may be negative, by as much.
  double divergence = 4;
};

class LrFinder {
 public:
  explicit LrFinder(const LrFinderOptions& options = {});

  // Of the update that is next: a constant factor above the one before.  REQUIRES: !done().
  [[nodiscard]] double next_rate() const;
  // The loss of that update, before its step.  REQUIRES: !done().
  void add(double loss);
  // Are all updates made, or has the loss diverged?
  [[nodiscard]] bool done() const noexcept;

  struct Point {
    double rate = 0;
    double loss = 0;
    // Over about ten updates, without a shift to later ones. Nothing after the lowest place of the
    // curve, where the loss rises or diverges and no rate is looked for.
    std::optional<double> smoothed;
  };
  // In the order of the updates, but for the one whose loss was not finite, if one was.
  [[nodiscard]] std::vector<Point> points() const;
  [[nodiscard]] bool diverged() const noexcept { return diverged_; }

  // The rate where the smoothed loss falls most steeply with the logarithm of the rate. The first
  // tenth of num_updates is left out, because nothing is smoothed there yet. Nothing when the loss
  // falls nowhere, or too few updates were made before it diverged.
  [[nodiscard]] std::optional<double> suggestion() const;

 private:
  [[nodiscard]] double rate(std::size_t update) const;

  LrFinderOptions options_;
  std::vector<double> losses_;
  double average_ = 0;         // of the losses so far, exponential, begun with 0
  double lowest_ = 0;          // of the averages so far
  std::size_t lowest_at_ = 0;  // the update
  bool diverged_ = false;
};

}  // namespace pergola::host
