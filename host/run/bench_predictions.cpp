// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/flop_counter.h"
#include "host/config/run_config.h"
#include "host/device/kernel_counter.h"
#include "host/device/memory.h"
#include "host/device/profiler.h"
#include "host/device/waiting_operations.h"
#include "host/run/bench.h"
#include "host/run/bench_setup.h"
#include "host/run/session.h"
#include "host/support/log.h"
#include "host/train/evaluation.h"
#include "host/train/memory_watch.h"
#include "host/train/recorded_forward.h"
#include "pergola/error.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

// Measures what lies between the two hooks of each batch. Counts operations in steps of their own.
class PredictionBench {
 public:
  PredictionBench(const BenchPlan& plan, c10::Device device,
                  std::optional<std::filesystem::path> trace)
      : plan_(plan), device_(device), trace_(std::move(trace)) {
    if (trace_) Profiler::prepare(device, ProfileOutput::kTrace, *trace_);
  }

  // What replays predictions from now on; null: nothing does.
  void watch(RecordedForward* recorded) { recorded_ = recorded; }

  void begin() {
    if (step_ == plan_.windows) replays_ = -replays();
    if (step_ == plan_.profile) {
      replays_ += replays();
      peak_bytes_ = peak();  // before anything is counted or traced, which takes memory
      if (trace_) profiler_.emplace(device_, ProfileOutput::kTrace);
    }
    if (profiler_) range_.emplace(concat("prediction ", step_ + 1));
    if (step_ >= plan_.flops) {
      if (recorded_ != nullptr) recorded_->pause(true);  // a replay calls no operators
      flop_counter_.emplace();
    } else if (step_ >= plan_.kernels) {
      kernel_counter_.emplace(device_);
    } else if (step_ >= plan_.waits) {
      waiting_.emplace(device_);
    }
    wait_for_device();
    begin_ = std::chrono::steady_clock::now();
  }

  void end(std::int64_t samples) {
    wait_for_device();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin_;
    if (plan_.in_windows(step_)) add(seconds.count(), samples);
    range_.reset();
    if (profiler_ && step_ + 1 == plan_.waits) {
      profiler_->finish(*trace_);
      profiler_.reset();
    }
    if (flop_counter_) flops_ += flop_counter_->flops();
    if (flop_counter_) flop_samples_ += samples;
    if (kernel_counter_) kernels_ += kernel_counter_->stop().value_or(0);
    if (waiting_) {
      for (const auto& [name, count] : waiting_->counts()) waits_[name] += count;
    }
    flop_counter_.reset();
    kernel_counter_.reset();
    waiting_.reset();
    ++step_;
  }

  [[nodiscard]] std::int64_t left() const { return plan_.end - step_; }

  // REQUIRES: nothing is left.
  void fill(BenchReport& report) const {
    report.samples_per_second = speeds_;
    report.step_ms = milliseconds(seconds_);
    report.peak_bytes = peak_bytes_;
    if (report.on_gpu) {
      report.replayed =
          static_cast<double>(replays_) / static_cast<double>(plan_.profile - plan_.windows);
    }
    for (const auto& [name, count] : waits_) report.waits[name] = BenchPlan::per_step(count);
    if (kernels_ > 0) report.kernels = BenchPlan::per_step(kernels_);
    if (flops_ == 0) return;
    report.flops_per_sample = static_cast<double>(flops_) / static_cast<double>(flop_samples_);
  }

 private:
  void wait_for_device() const {
    if (device_.is_cpu()) return;
    c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index());
  }

  void add(double seconds, std::int64_t samples) {
    seconds_.push_back(seconds);
    window_seconds_ += seconds;
    window_samples_ += samples;
    if ((step_ + 1 - plan_.windows) % plan_.steps != 0) return;
    speeds_.push_back(static_cast<double>(std::exchange(window_samples_, 0)) /
                      std::exchange(window_seconds_, 0));
  }

  [[nodiscard]] std::int64_t replays() const {
    return recorded_ == nullptr ? 0 : recorded_->replays();
  }

  [[nodiscard]] std::int64_t peak() const {
    const std::optional<DeviceMemory> memory = device_memory(device_);
    return memory ? memory->peak : process_bytes_before_ + watch_.peak();
  }

  const BenchPlan plan_;
  const c10::Device device_;
  RecordedForward* recorded_ = nullptr;
  std::int64_t replays_ = 0;  // of the windows
  std::int64_t step_ = 0;
  std::chrono::steady_clock::time_point begin_;
  std::vector<double> seconds_;  // of each step of the windows
  double window_seconds_ = 0;
  std::int64_t window_samples_ = 0;
  std::vector<double> speeds_;  // samples a second, of each window
  std::int64_t process_bytes_before_ = process_memory();
  MemoryWatch watch_;
  std::int64_t peak_bytes_ = 0;
  const std::optional<std::filesystem::path> trace_;
  std::optional<Profiler> profiler_;
  std::optional<ProfileRange> range_;  // of the step in hand, while there is a profiler
  std::optional<WaitingOperations> waiting_;
  std::map<std::string, std::int64_t> waits_;
  std::optional<KernelCounter> kernel_counter_;
  std::int64_t kernels_ = 0;
  std::optional<FlopCounter> flop_counter_;
  std::int64_t flops_ = 0;
  std::int64_t flop_samples_ = 0;
};

// One pass over the split, or as much of it as is left to do.
void predict_split(Session& session, PredictionBench& measured) {
  const std::int64_t left = measured.left();
  EvaluationInput input = session.evaluation_input("test");
  measured.watch(input.recorded);
  input.max_batches = std::min(input.max_batches, left);
  input.hooks.on_batch_start = [&](const SampleList& /*batch*/) { measured.begin(); };
  input.hooks.on_batch_end = [&](const SampleList& batch, const ModelOutput& /*output*/) {
    if (measured.left() > 0) measured.end(batch.batch_size());
  };
  static_cast<void>(evaluate(input));
  if (measured.left() < left) return;
  throw Error(ErrorKind::kData, "the split test of ", session.config().dataset,
              " has no samples to predict; give it some, or leave --predict out");
}

}  // namespace

BenchReport bench_predictions(const BenchRequest& request) {
  Session session(RunConfig::parse(request.config.root), request.catalog);
  session.build_model("test", /*seed=*/0);
  session.load_pretrained();
  BenchReport report = report_of(request, session, BenchWork::kPrediction);
  const BenchPlan plan(request, report.on_gpu);
  log::info("[bench] ", plan.text("predictions"));
  PredictionBench measured(plan, session.device(), request.trace);
  while (measured.left() > 0) predict_split(session, measured);
  measured.fill(report);
  return report;
}

}  // namespace pergola::host
