// SPDX-License-Identifier: BSD-3-Clause
// What a training makes of its time and its machine, from one log line to the next. Training
// thread.
#pragma once

#include "host/callbacks/flop_counter.h"
#include "host/callbacks/rate.h"
#include "host/config/run_config.h"
#include "host/device/memory.h"
#include "host/train/phase_times.h"
#include "pergola/callback.h"

#include <c10/core/Device.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace pergola::host {

struct FlopOptions {
  bool count = false;
  std::optional<double> peak = {};  // of the device, a second: peak_flops()
  bool recompute = false;           // of activations: what is counted is more than the model's work
};

// Between two log lines. Rates leave out the time of validation and of checkpoints.
struct SystemFacts {
  double seconds = 0;  // all of them
  PhaseSeconds phases;
  double samples_per_second = 0;
  double average_samples_per_second = 0;  // since the training began in this process
  double updates_per_second = 0;
  double seconds_left = -1;  // until training ends; < 0: not known
  std::int64_t process_bytes = 0;
  std::optional<DeviceMemory> device;
  std::optional<double> flops_per_second;
  std::optional<double> utilization;  // of the device's peak
  bool recompute = false;

  // "samples_per_second", "seconds/forward", "memory/rss_mib", "mfu", ...: host/docs/logs.md
  [[nodiscard]] Numbers numbers() const;
  // "300 samples/s (average 280), 2.31 updates/s, 512 MiB, 0:00:02 left (data 3%, forward 40%)"
  [[nodiscard]] std::string text() const;
};

// "812 MiB", "10.2 GiB"
[[nodiscard]] std::string format_bytes(std::int64_t bytes);

class Throughput {
 public:
  // Borrows the times, and takes their intervals.
  Throughput(PhaseTimes& times, c10::Device device, const FlopOptions& options = {})
      : times_(times), device_(device), options_(options) {}

  // The training begins at `update`.
  void start(std::int64_t update);
  // Around forward and backward passes of an update; the second may be left out or come twice.
  // Operations are counted in one update of ten seconds, and the rest is taken to be alike.
  void begin_update(std::int64_t samples_this_run);
  void end_passes(std::int64_t samples_this_run);
  // All that there was since start() or the last take(). Update and samples as of now; `at_most`:
  // seconds after which the training ends even so.
  [[nodiscard]] SystemFacts take(std::int64_t update, std::int64_t max_updates,
                                 std::int64_t samples_this_run, std::optional<double> at_most = {});

 private:
  using Clock = std::chrono::steady_clock;

  PhaseTimes& times_;
  c10::Device device_;
  FlopOptions options_;
  Rate rate_;
  Clock::time_point taken_ = Clock::now();
  std::int64_t taken_update_ = 0;
  std::int64_t taken_samples_ = 0;
  double training_seconds_ = 0;  // of all intervals
  std::optional<FlopCounter> counter_;
  std::int64_t counter_samples_ = 0;  // when it began
  std::optional<Clock::time_point> counted_;
  double flops_ = 0;  // counted so far, of so many samples
  std::int64_t flop_samples_ = 0;
};

}  // namespace pergola::host
