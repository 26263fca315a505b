// SPDX-License-Identifier: BSD-3-Clause
// What operators of ours take beside what they stand for, case by case:
//
//   ops_bench [--device=cuda] [--graph] [--runs=N] [PART OF A NAME ...]
//
// Medians, by the device's clock, of runs that are done in turns. Operation by operation they have
// what the CPU needs to ask for them in them, where that is more; with --graph each is recorded
// once and replayed. Prints microseconds, their ratio, and the fused form's GB/s.
#include "host/device/device.h"
#include "host/device/device_clock.h"
#include "host/device/on_stream.h"
#include "host/device/step_graph.h"
#include "tools/bench/ops_cases.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pergola::host {
namespace {

struct Options {
  std::string device = "cuda";
  bool in_graphs = false;
  int runs = 50;
  std::vector<std::string> names;  // parts of those that are run; empty: all
};

Options parse(int argc, char** argv) {
  Options options;
  constexpr std::string_view kDevice = "--device=";
  constexpr std::string_view kRuns = "--runs=";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with(kDevice)) {
      options.device = word.substr(kDevice.size());
    } else if (word.starts_with(kRuns)) {
      options.runs = std::max(1, std::atoi(word.substr(kRuns.size()).c_str()));
    } else if (word == "--graph") {
      options.in_graphs = true;
    } else {
      options.names.push_back(word);
    }
  }
  return options;
}

bool is_wanted(const OpCase& one, const Options& options) {
  return options.names.empty() ||
         std::any_of(options.names.begin(), options.names.end(), [&](const std::string& part) {
           return one.name.find(part) != std::string::npos;
         });
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

class Bench {
 public:
  Bench(c10::Device device, const Options& options) : device_(device), options_(options) {
    if (device.is_cpu()) return;
    stream_.emplace(device);
    std::string problem;
    if (options.in_graphs) recorder_ = make_graph_recorder(device, problem);
    if (!problem.empty()) std::printf("not in graphs: %s\n", problem.c_str());
  }

  void run(const OpCase& one) {
    constexpr double kMicro = 1e6;
    std::unique_ptr<RecordedWork> graphs[2];
    std::function<void()> work[2] = {one.fused, one.unfused};
    for (int k = 0; k < 2; ++k) {
      for (int i = 0; i < kWarmUps; ++i) work[k]();
      if (recorder_ == nullptr) continue;
      graphs[k] = recorder_->record(work[k]);
      work[k] = [graph = graphs[k].get()] { graph->replay(); };
    }
    std::vector<double> seconds[2];
    for (int i = 0; i < options_.runs; ++i) {
      for (int k = 0; k < 2; ++k) seconds[k].push_back(time_of(work[k]));
    }
    const double fused = median(seconds[0]);
    const double unfused = median(seconds[1]);
    std::printf("%-34s %10.1f %10.1f %8.2f", one.name.c_str(), fused * kMicro, unfused * kMicro,
                unfused / fused);
    if (one.bytes > 0) std::printf(" %8.0f", one.bytes / fused / 1e9);
    std::printf("\n");
  }

 private:
  static constexpr int kWarmUps = 5;

  // seconds() waits for the device, so nothing of another run is in it.
  [[nodiscard]] double time_of(const std::function<void()>& work) const {
    DeviceClock clock(device_);
    clock.mark();
    work();
    clock.mark();
    return clock.seconds().front();
  }

  c10::Device device_;
  const Options& options_;
  std::optional<OnStream> stream_;
  std::unique_ptr<GraphRecorder> recorder_;
};

void run_all(const Options& options) {
  const c10::Device device = select_device(options.device);
  if (device.is_cpu()) prepare_cpu(1);
  Bench bench(device, options);
  std::printf("%-34s %10s %10s %8s %8s\n", options.in_graphs ? "us, in graphs" : "us", "fused",
              "unfused", "ratio", "GB/s");
  for (const auto& cases : {transformer_cases, linear_cases, optimizer_cases, loss_cases}) {
    for (const OpCase& one : cases(device)) {
      if (is_wanted(one, options)) bench.run(one);
    }
  }
}

}  // namespace
}  // namespace pergola::host

int main(int argc, char** argv) {
  try {
    pergola::host::run_all(pergola::host::parse(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ops_bench: %s\n", error.what());
    return 1;
  }
}
