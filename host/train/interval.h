// SPDX-License-Identifier: BSD-3-Clause
// When something is due that comes again and again: each so many updates, epochs or seconds.
// Training thread. No LibTorch here.
#pragma once

#include "host/config/duration.h"
#include "pergola/callback.h"

#include <chrono>
#include <cstdint>

namespace pergola::host {

class Interval {
 public:
  enum class Zero { kNever, kEndOfEpoch };  // when a duration of 0 is due
  // REQUIRES: updates_per_epoch >= 1.
  Interval(Duration duration, std::int64_t updates_per_epoch, Zero zero);

  // Is it due after the update that was just done? A function of `progress` alone, but for seconds:
  // once they have passed since the construction or the last restart().
  [[nodiscard]] bool due(const Progress& progress) const;
  // Seconds count from now on.
  void restart() { begin_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;

  Duration duration_;
  Zero zero_;
  double updates_;  // unless in seconds
  Clock::time_point begin_ = Clock::now();
};

}  // namespace pergola::host
