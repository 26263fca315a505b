// SPDX-License-Identifier: BSD-3-Clause
// The course of one number: over a window of its last values, and since the run began (MMF's
// SmoothedValue, mmf/common/meter.py). Saved with a run. Training thread. No LibTorch here.
#pragma once

#include "pergola/value.h"

#include <cstddef>
#include <cstdint>
#include <deque>

namespace pergola::host {

class SmoothedValue {
 public:
  // REQUIRES: window > 0.
  explicit SmoothedValue(std::size_t window = 20) : window_(window) {}

  // Takes in `value`, the mean of `count` things.  REQUIRES: count > 0.
  void update(double value, std::int64_t count = 1);

  // NaN before the first update, as when one of the values is NaN.
  [[nodiscard]] double latest() const;
  [[nodiscard]] double median() const;      // of the window's values; of two, the lower one
  [[nodiscard]] double avg() const;         // of the window, weighted by counts
  [[nodiscard]] double global_avg() const;  // of all, weighted by counts

  [[nodiscard]] Value state_dict() const;
  // Throws Error{kCheckpoint} when `state` is none.
  void load_state_dict(const Value& state);

 private:
  struct Entry {
    double value;
    std::int64_t count;
  };
  std::size_t window_;
  std::deque<Entry> entries_;
  double sum_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace pergola::host
