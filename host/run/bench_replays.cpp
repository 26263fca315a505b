// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/bench_replays.h"

#include "host/run/bench_setup.h"
#include "pergola/error.h"

#include <algorithm>
#include <cstddef>

namespace pergola::host {

std::vector<RecordedWork*>& LoopBesideReplays::begin_window() {
  replays_.clear();
  clock_.emplace(device_);
  clock_->mark();
  return replays_;
}

void LoopBesideReplays::end_window(std::int64_t replayed) {
  PERGOLA_ASSERT(clock_.has_value());
  clock_->mark();
  const double loop = clock_->seconds().front();
  clock_.reset();
  if (replayed != steps_ || std::ranges::find(replays_, nullptr) != replays_.end()) return;
  loop_.push_back(loop / static_cast<double>(steps_));
  bare_.push_back(replay_all() / static_cast<double>(steps_));
}

double LoopBesideReplays::replay_all() const {
  // The loop's windows begin with the device at work, and so does this one.
  constexpr std::size_t kBefore = 8;
  for (std::size_t i = 0; i < std::min(kBefore, replays_.size()); ++i) replays_[i]->replay();
  DeviceClock clock(device_);
  clock.mark();
  for (RecordedWork* const work : replays_) work->replay();
  clock.mark();
  return clock.seconds().front();
}

void LoopBesideReplays::fill(BenchReport& report) const {
  if (bare_.empty()) return;
  report.loop_ms = milliseconds(loop_).median;
  report.replay_ms = milliseconds(bare_).median;
}

}  // namespace pergola::host
