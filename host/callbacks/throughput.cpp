// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/throughput.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <cmath>
#include <cstdio>
#include <vector>

namespace pergola::host {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr std::chrono::seconds kBetweenCounts(10);

std::string formatted(const char* format, double number) {
  char text[48];
  std::snprintf(text, sizeof(text), format, number);
  return text;
}

double ratio(double count, double seconds) { return seconds > 0 ? count / seconds : 0.0; }

// "data 3%, forward 40%"; what is less than half a percent is left out.
std::string split_of(const PhaseSeconds& phases) {
  std::vector<std::string> parts;
  const double all = phases.sum();
  for (std::size_t i = 0; i < kNumPhases; ++i) {
    const auto phase = static_cast<Phase>(i);
    const long long percent = all > 0 ? std::llround(100 * phases[phase] / all) : 0;
    if (percent > 0) parts.push_back(concat(phase_name(phase), " ", percent, "%"));
  }
  return join(parts);
}

std::string format_flops(double per_second) {
  return per_second < 1e12 ? formatted("%.3g GFLOP/s", per_second / 1e9)
                           : formatted("%.3g TFLOP/s", per_second / 1e12);
}

const char* utilization_name(bool recompute) { return recompute ? "hfu" : "mfu"; }

}  // namespace

std::string format_bytes(std::int64_t bytes) {
  const double mib = static_cast<double>(bytes) / kMiB;
  return mib < 10000 ? formatted("%.0f MiB", mib) : formatted("%.1f GiB", mib / 1024);
}

Numbers SystemFacts::numbers() const {
  Numbers numbers = {{"seconds", seconds},
                     {"samples_per_second", samples_per_second},
                     {"samples_per_second/avg", average_samples_per_second},
                     {"updates_per_second", updates_per_second},
                     {"memory/rss_mib", static_cast<double>(process_bytes) / kMiB}};
  if (seconds_left >= 0) numbers["seconds_left"] = seconds_left;
  for (std::size_t i = 0; i < kNumPhases; ++i) {
    const auto phase = static_cast<Phase>(i);
    numbers[concat("seconds/", phase_name(phase))] = phases[phase];
  }
  if (device) {
    numbers["memory/device_mib"] = static_cast<double>(device->allocated) / kMiB;
    numbers["memory/device_peak_mib"] = static_cast<double>(device->peak) / kMiB;
    numbers["memory/device_reserved_mib"] = static_cast<double>(device->reserved) / kMiB;
    numbers["memory/device_retries"] = static_cast<double>(device->retries);
  }
  if (flops_per_second) numbers["tflops_per_second"] = *flops_per_second / 1e12;
  if (utilization) numbers[utilization_name(recompute)] = *utilization;
  return numbers;
}

std::string SystemFacts::text() const {
  std::string text = concat(std::llround(samples_per_second), " samples/s (average ",
                            std::llround(average_samples_per_second), "), ",
                            formatted("%.2f", updates_per_second), " updates/s");
  if (flops_per_second) text += ", " + format_flops(*flops_per_second);
  if (utilization) {
    text += concat(" (", recompute ? "HFU " : "MFU ", formatted("%.1f", 100 * *utilization), "%)");
  }
  if (device) {
    text += concat(", GPU ", format_bytes(device->allocated), " (peak ", format_bytes(device->peak),
                   "), host ", format_bytes(process_bytes));
  } else {
    text += ", " + format_bytes(process_bytes);
  }
  return text + concat(", ", seconds_left < 0 ? "?" : format_duration(seconds_left), " left (",
                       split_of(phases), ")");
}

void Throughput::start(std::int64_t update) {
  rate_.start(update);
  taken_ = Clock::now();
  taken_update_ = update;
}

void Throughput::begin_update(std::int64_t samples_this_run) {
  counter_.reset();
  if (!options_.count) return;
  const Clock::time_point now = Clock::now();
  if (counted_ && now - *counted_ < kBetweenCounts) return;
  counted_ = now;
  counter_samples_ = samples_this_run;
  counter_.emplace();
}

void Throughput::end_passes(std::int64_t samples_this_run) {
  if (!counter_) return;
  const auto flops = static_cast<double>(counter_->flops());
  counter_.reset();
  if (flops == 0) return;  // the update was replayed as a whole
  flops_ += flops;
  flop_samples_ += samples_this_run - counter_samples_;
}

SystemFacts Throughput::take(std::int64_t update, std::int64_t max_updates,
                             std::int64_t samples_this_run, std::optional<double> at_most) {
  const Clock::time_point now = Clock::now();
  SystemFacts facts;
  facts.seconds = std::chrono::duration<double>(now - taken_).count();
  facts.phases = times_.take();
  const double training =
      facts.seconds - facts.phases[Phase::kValidation] - facts.phases[Phase::kCheckpoint];
  training_seconds_ += training;
  const auto samples = static_cast<double>(samples_this_run - taken_samples_);
  facts.samples_per_second = ratio(samples, training);
  facts.average_samples_per_second =
      ratio(static_cast<double>(samples_this_run), training_seconds_);
  facts.updates_per_second = ratio(static_cast<double>(update - taken_update_), training);
  facts.seconds_left = rate_.seconds_left(update, max_updates, at_most);
  facts.process_bytes = process_memory();
  facts.device = device_memory(device_);
  facts.recompute = options_.recompute;
  if (flop_samples_ > 0 && flops_ > 0) {
    const double per_sample = flops_ / static_cast<double>(flop_samples_);
    facts.flops_per_second = per_sample * facts.samples_per_second;
    if (options_.peak) facts.utilization = *facts.flops_per_second / *options_.peak;
  }
  taken_ = now;
  taken_update_ = update;
  taken_samples_ = samples_this_run;
  return facts;
}

}  // namespace pergola::host
