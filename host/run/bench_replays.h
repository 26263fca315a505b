// SPDX-License-Identifier: BSD-3-Clause
// The training loop beside bare replays of what it has recorded: the same recordings in the same
// order, one behind the other, as one would write it by hand, on a batch of each shape that stays
// the same. What the loop takes longer is what it adds: loading batches and their way to the
// device, hooks, averaged weights, the CPU's work on each step. Windows of both take turns, so that
// whatever else the machine does meets both. Training thread.
//
//   trainer.note_replays(&beside.begin_window());
//   ...                                            // the loop's steps, and in the last one's end
//   trainer.note_replays(nullptr);
//   beside.end_window(replayed);
#pragma once

#include "host/device/device_clock.h"
#include "host/device/step_graph.h"
#include "host/run/bench_report.h"

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace pergola::host {

class LoopBesideReplays {
 public:
  // `steps` are those of a window, 1 at least.
  LoopBesideReplays(c10::Device device, std::int64_t steps) : device_(device), steps_(steps) {}

  // A window of the loop begins. Returns where its replays are to be noted, in their order, and
  // null where something was recorded or dropped.
  [[nodiscard]] std::vector<RecordedWork*>& begin_window();
  // It ends, with so many of its steps replayed. Waits for the device. Where that was all of them,
  // replays the same; weights and the random numbers move on by that. A window in which something
  // was recorded, dropped or done operation by operation does not count.
  // REQUIRES: begin_window() was called, and what was noted is there unless null was.
  void end_window(std::int64_t replayed);

  // Leaves the report alone where no window counts.
  void fill(BenchReport& report) const;

 private:
  [[nodiscard]] double replay_all() const;

  c10::Device device_;
  std::int64_t steps_;
  std::optional<DeviceClock> clock_;    // of the loop's window in hand
  std::vector<RecordedWork*> replays_;  // of it
  std::vector<double> loop_;            // seconds of a step, of each window
  std::vector<double> bare_;
};

}  // namespace pergola::host
