// SPDX-License-Identifier: BSD-3-Clause
// When something is due that comes again and again: each so many updates, epochs or seconds.
// Training thread. No LibTorch here.
#pragma once

#include "host/config/duration.h"
#include "pergola/callback.h"

#include <chrono>
#include <cstdint>
#include <optional>

namespace pergola::host {

class Interval {
 public:
  enum class Zero { kNever, kEndOfEpoch };  // when a duration of 0 is due
  // REQUIRES: updates_per_epoch >= 1.
  Interval(Duration duration, std::int64_t updates_per_epoch, Zero zero);

  // Seconds that had passed already in an earlier process, and count; before start().
  void restore(double seconds) { seconds_before_ = seconds; }
  // Seconds count from now on.
  void start() { begin_ = Clock::now(); }
  // Seconds begin anew.
  void restart();

  // Is it due after the update that was just done? A function of `progress` alone, but for seconds:
  // once they have passed since the last restart().
  [[nodiscard]] bool due(const Progress& progress) const;
  // Of an interval in seconds, those that have passed since the last restart(), for restore().
  [[nodiscard]] std::optional<double> seconds() const;

 private:
  using Clock = std::chrono::steady_clock;

  Duration duration_;
  std::int64_t updates_per_epoch_;
  Zero zero_;
  double seconds_before_ = 0;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace pergola::host
