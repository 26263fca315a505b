// SPDX-License-Identifier: BSD-3-Clause
// What both benches, of updates and of predictions, have in common. Plain values and functions.
#pragma once

#include "host/run/bench.h"
#include "host/run/bench_report.h"
#include "host/run/session.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// At which step each part begins: first those that warm up. FLOPs come last: after the last update
// the trainer reads the losses, which waits and runs kernels, and no FLOP is in it.
struct BenchPlan {
  // `settling`: steps of the loop before each window that is compared with bare replays; nothing
  // where none is.
  BenchPlan(const BenchRequest& request, bool on_gpu, std::optional<std::int64_t> settling = {});

  // Where nothing is replayed: what comes after these steps comes at once.
  void leave_out_comparison();

  // Of what was counted in the kCounted steps of a kind of operation.
  [[nodiscard]] static double per_step(std::int64_t count);
  [[nodiscard]] bool in_windows(std::int64_t step) const {
    return step >= windows && step < profile;
  }
  [[nodiscard]] bool in_comparison(std::int64_t step) const {
    return step >= compare && step < waits;
  }
  // Of a step in it: does a window begin with it, or end?
  [[nodiscard]] bool begins_compared(std::int64_t step) const {
    return (step - compare) % (settling + steps) == settling;
  }
  [[nodiscard]] bool ends_compared(std::int64_t step) const {
    return (step - compare + 1) % (settling + steps) == 0;
  }
  // "120 updates: 10 to warm up, ...".  REQUIRES: `what` is a plural.
  [[nodiscard]] std::string text(const char* what) const;

  static constexpr std::int64_t kCounted = 4;
  static constexpr std::int64_t kProfiled = 3;

  std::int64_t steps;  // of a window
  std::int64_t windows;
  std::int64_t profile;   // the same as `compare` where no trace is wanted
  std::int64_t settling;  // unmeasured, before each window that is compared
  std::int64_t compare;   // the same as `waits` where nothing is compared
  std::int64_t waits;
  std::int64_t kernels;  // the same as `flops` on the CPU, which has none
  std::int64_t flops;
  std::int64_t end;
};

// What is known before the first step.  REQUIRES: the session's model is built.
[[nodiscard]] BenchReport report_of(const BenchRequest& request, Session& session, BenchWork work);

// Their spread, of seconds.  REQUIRES: `seconds` is not empty.
[[nodiscard]] Spread milliseconds(std::vector<double> seconds);

}  // namespace pergola::host
