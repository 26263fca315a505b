// SPDX-License-Identifier: BSD-3-Clause
// What Pergola adds to a training step: the Trainer with all callbacks that a run has by default,
// its log file and its bar on a terminal, beside the loop that one would write by hand with the
// same model, batches and optimizer. `tiny` is a step of next to nothing, `five_ms` one of five
// milliseconds. The two take turns, step by step, so that whatever else the machine does meets
// both. `added_us` is the difference of the medians of all steps, `ratio` their ratio;
// `added_mean_us` is that of the means, with what is done once in many steps, and with the
// machine's noise.
#include "host/callbacks/checkpoint_callback.h"
#include "host/callbacks/logging_callback.h"
#include "host/callbacks/nan_guard_callback.h"
#include "host/callbacks/progress_callback.h"
#include "host/model/builder.h"
#include "host/model/builtins.h"
#include "host/support/files.h"
#include "host/support/log.h"
#include "host/train/trainer.h"
#include "pergola/registry.h"

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <benchmark/benchmark.h>
#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kBatch = 32;

struct Size {
  std::int64_t width;
  std::int64_t layers;
  std::int64_t updates;
};
constexpr Size kTiny = {4, 1, 20000};
constexpr Size kFiveMs = {256, 18, 1500};

// Linear layers that learn to give their input back.
class Layers final : public BaseModel {
 public:
  explicit Layers(const Size& size) : BaseModel(Config(Value(Value::Table{}))), size_(size) {}
  void build() override {
    layers_ = register_module("layers", torch::nn::Sequential());
    for (std::int64_t i = 0; i < size_.layers; ++i) {
      layers_->push_back(torch::nn::Linear(size_.width, size_.width));
    }
  }
  ModelOutput forward(const SampleList& batch) override {
    const at::Tensor& x = batch.tensor("x");
    ModelOutput output;
    output.scores = layers_->forward(x);
    output.losses.emplace();
    (*output.losses)["train/bench/mse"] = at::mse_loss(output.scores, x);
    return output;
  }
  bool makes_losses() const override { return true; }

 private:
  Size size_;
  torch::nn::Sequential layers_ = nullptr;
};

// The same batch again and again: reading data is not what is measured here.
class OneBatch final : public BatchSource {
 public:
  explicit OneBatch(const Size& size)
      : updates_(size.updates), x_(torch::ones({kBatch, size.width})) {}
  std::int64_t num_batches() const noexcept override { return updates_; }
  void start_epoch(std::int64_t /*epoch*/, std::int64_t first_batch) override {
    next_ = first_batch;
  }
  std::optional<SampleList> next() override {
    if (next_++ == updates_) return std::nullopt;
    SampleList batch;
    batch.add_field("x", x_);
    batch.set_dataset("bench", "train");
    return batch;
  }
  Hook last_hook() const override { return {"the benchmark"}; }

 private:
  std::int64_t updates_;
  at::Tensor x_;
  std::int64_t next_ = 0;
};

// A terminal as stderr, whose screen nobody looks at.
class Terminal {
 public:
  Terminal() : saved_(::dup(STDERR_FILENO)) {
    int master = -1;
    int slave = -1;
    const winsize size{24, 120, 0, 0};
    if (::openpty(&master, &slave, nullptr, nullptr, &size) != 0) std::abort();
    ::dup2(slave, STDERR_FILENO);
    ::close(slave);
    screen_ = std::thread([master] {
      char text[4096];
      while (::read(master, text, sizeof(text)) > 0) {
      }
      ::close(master);
    });
    init_log(LogLevel::kInfo);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    ::dup2(saved_.get(), STDERR_FILENO);
    screen_.join();
    init_log(LogLevel::kWarning);
  }

 private:
  UniqueFd saved_;
  std::thread screen_;
};

// Model and optimizer of one loop.
struct Parts {
  explicit Parts(const Size& size) : model(std::make_shared<Layers>(size)), batches(size) {
    torch::manual_seed(1);
    model->build();
    model->train();
    registry.publish(builtin_model_parts(), "host");
    const Config adamw(Value::Table{{"type", "adamw"}, {"params", Value::Table{{"lr", 1e-4}}}});
    optimizer = build_optimizer(registry, *model, adamw);
  }
  std::shared_ptr<Layers> model;
  OneBatch batches;
  Registry registry;
  std::unique_ptr<Optimizer> optimizer;
};

void step_by_hand(Parts& parts) {
  std::optional<SampleList> batch = parts.batches.next();
  parts.optimizer->zero_grad();
  const ModelOutput output = parts.model->forward(*batch);
  const at::Tensor& loss = output.losses->begin()->second;
  loss.backward();
  parts.optimizer->step();
  benchmark::DoNotOptimize(loss.item<float>());
}

// Seconds of each step.
struct Steps {
  std::vector<double> by_hand;
  std::vector<double> trainer;
};

// After each update of the trainer does a step by hand, and times both. The last of the callbacks.
class StopWatch final : public Callback {
 public:
  StopWatch(Parts& by_hand, Steps& steps) : by_hand_(by_hand), steps_(steps) {}
  void on_train_start(TrainerState& /*state*/) override {
    by_hand_.batches.start_epoch(0, 0);
    last_ = Clock::now();
  }
  void on_update_complete(TrainerState& /*state*/) override {
    steps_.trainer.push_back(seconds_since_last());
    step_by_hand(by_hand_);
    steps_.by_hand.push_back(seconds_since_last());
  }

 private:
  double seconds_since_last() {
    const Clock::time_point begin = std::exchange(last_, Clock::now());
    return std::chrono::duration<double>(last_ - begin).count();
  }

  Parts& by_hand_;
  Steps& steps_;
  Clock::time_point last_;
};

Steps measure(const Size& size, const std::filesystem::path& folder) {
  Parts by_hand(size);
  Parts parts(size);
  TrainerOptions options;
  options.max_updates = size.updates;
  TrainerState state;
  state.run_dir = folder;
  Trainer trainer(
      {*parts.model, *parts.optimizer, nullptr, parts.batches, {}, c10::Device(c10::kCPU)}, options,
      state);
  const auto add = [&](const char* key, auto made) -> auto& {
    auto& added = *made;
    trainer.add_callback(key, std::move(made));
    return added;
  };
  add("nan_guard", std::make_unique<NanGuardCallback>(NanGuardOptions()));
  auto& logging =
      add("logging", std::make_unique<LoggingCallback>(trainer, folder / "metrics.jsonl", nullptr,
                                                       FlopOptions{.count = true}));
  logging.add_sink(add("progress", std::make_unique<ProgressCallback>(trainer)));
  add("checkpoint", std::make_unique<CheckpointCallback>(trainer, CheckpointStore(folder),
                                                         RunConfig(), Value(Value::Table{})));
  Steps steps;
  add("stop_watch", std::make_unique<StopWatch>(by_hand, steps));
  benchmark::DoNotOptimize(trainer.run());
  trainer.tear_down();
  return steps;
}

double median_us(std::vector<double> seconds) {
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return 1e6 * *middle;
}

double mean_us(const std::vector<double>& seconds) {
  return 1e6 * std::accumulate(seconds.begin(), seconds.end(), 0.0) /
         static_cast<double>(seconds.size());
}

void step_overhead(benchmark::State& state, const Size& size) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() /
                                       ("pergola_step_overhead." + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  for (auto _ : state) {
    const Terminal terminal;
    add_log_file(folder / "log.txt");
    const Steps steps = measure(size, folder);
    const double by_hand = median_us(steps.by_hand);
    const double trainer = median_us(steps.trainer);
    state.counters["by_hand_us"] = by_hand;
    state.counters["added_us"] = trainer - by_hand;
    state.counters["added_mean_us"] = mean_us(steps.trainer) - mean_us(steps.by_hand);
    state.counters["ratio"] = trainer / by_hand;
  }
  std::filesystem::remove_all(folder);
}

BENCHMARK_CAPTURE(step_overhead, tiny, kTiny)->Iterations(1)->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(step_overhead, five_ms, kFiveMs)->Iterations(1)->Unit(benchmark::kSecond);

}  // namespace
}  // namespace pergola::host
