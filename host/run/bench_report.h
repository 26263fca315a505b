// SPDX-License-Identifier: BSD-3-Clause
// What `pergola bench` measured: as text, as JSON, and beside an earlier JSON. No state;
// thread-safe. No LibTorch here.
#pragma once

#include "pergola/value.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

// Of numbers that were measured: the value below which half of them are, a tenth, nine tenths.
// Between two of them it lies in proportion.
struct Spread {
  double median = 0;
  double p10 = 0;
  double p90 = 0;
};

// REQUIRES: `numbers` is not empty.
[[nodiscard]] Spread spread_of(std::vector<double> numbers);

// What a step is: an update, or the prediction of a batch.
enum class BenchWork { kTraining, kPrediction };

// What two benches must have alike to be compared.
struct BenchConditions {
  std::string model;
  std::string dataset;
  std::string device;     // with its name
  std::string precision;  // "bf16", ...
  std::int64_t batch_size = 0;
  std::int64_t update_frequency = 1;
  BenchWork work = BenchWork::kTraining;
  std::int64_t parameters = 0;  // of the model, in numbers

  [[nodiscard]] Value to_value() const;
};

struct BenchReport {
  std::string version;  // of Pergola
  BenchConditions conditions;
  std::int64_t warm_up = 0;                // steps before the first window
  std::int64_t steps = 0;                  // of a window
  std::vector<double> samples_per_second;  // of each window, one at least
  std::vector<double> tokens_per_second;   // of its text, without padding; empty where the batches
                                           // do not say how many are padding
  Spread step_ms;                          // of the steps of all windows
  std::optional<double> data_wait;         // share of the time: waiting for a batch, and its way to
                                           // the device; a prediction has its batch there
  std::optional<double> replayed;          // share of the steps, as CUDA graphs; on a GPU
  // Of a step, where all of a window were replayed: in the loop, and of the same recordings one
  // behind the other with nothing in between. Both or none.
  std::optional<double> loop_ms;
  std::optional<double> replay_ms;
  std::optional<double> flops_per_sample;
  std::optional<double> peak_flops;     // of the device, a second
  bool recompute = false;               // of activations: FLOPs are more than the model's work
  std::map<std::string, double> waits;  // of the CPU for the device, in a step, by operation
  std::optional<double> kernels;        // of the device, in a step
  std::int64_t peak_bytes = 0;          // of the GPU's tensors, or of the process
  bool on_gpu = false;

  // The median window's.
  [[nodiscard]] double speed() const;
  // The share of a bare replay's time by which a step of the loop is longer.
  [[nodiscard]] std::optional<double> loop_overhead() const;
  // MFU, or HFU with recompute; nothing where an operand is not known.
  [[nodiscard]] std::optional<double> utilization() const;
};

// An earlier report, and how the new one does beside it.
struct Baseline {
  std::string file;
  double samples_per_second = 0;
  Value conditions;
};

// Reads what as_json() wrote. Throws Error{kConfig} for a file that is not there or holds another
// thing.
[[nodiscard]] Baseline read_baseline(const std::filesystem::path& file);

struct Comparison {
  std::string file;
  double baseline = 0;                   // samples a second
  double change = 0;                     // of them, in percent; below 0: it has become slower
  double tolerance = 0;                  // percent
  std::vector<std::string> differences;  // "batch_size was 64 and is 128"

  [[nodiscard]] bool is_slower() const { return -change > tolerance; }
};

[[nodiscard]] Comparison compare_with(const Baseline& baseline, const BenchReport& report,
                                      double tolerance);

// A line for each number, which people read; the keys of host/docs/logs.md. `comparison` may be
// null.
[[nodiscard]] std::string as_text(const BenchReport& report, const Comparison* comparison);
[[nodiscard]] std::string as_json(const BenchReport& report, const Comparison* comparison);

}  // namespace pergola::host
