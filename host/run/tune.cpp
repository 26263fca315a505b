// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/tune.h"

#include "host/config/run_config.h"
#include "host/device/device.h"
#include "host/device/memory.h"
#include "host/model/builder.h"
#include "host/model/freeze.h"
#include "host/model/guard.h"
#include "host/run/run_checks.h"
#include "host/run/session.h"
#include "host/run/training.h"
#include "host/support/log.h"
#include "host/train/memory_watch.h"
#include "host/train/trainer.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <random>
#include <utility>

namespace pergola::host {
namespace {

// The losses of an update, and what is done with their mean after the step.
class UpdateWatcher final : public Callback {
 public:
  using Visitor = std::function<void(TrainerState& state, double loss, std::int64_t samples)>;
  explicit UpdateWatcher(Visitor visit) : visit_(std::move(visit)) {}

  void on_update_start(TrainerState& state) override {
    losses_.clear();
    samples_before_ = state.progress.samples_seen;
  }
  void on_batch_end(TrainerState& /*state*/, const SampleList& /*batch*/,
                    const ModelOutput& output) override {
    const at::NoGradGuard no_grad;
    losses_.push_back(total_loss(*output.losses).detach());
  }
  // Reading the loss waits for the device, and so for the step.
  void on_update_end(TrainerState& state, const SampleList& /*batch*/,
                     const ModelOutput& /*output*/) override {
    visit_(state, at::stack(losses_).mean().item<double>(),
           state.progress.samples_seen - samples_before_);
  }

 private:
  Visitor visit_;
  std::vector<at::Tensor> losses_;
  std::int64_t samples_before_ = 0;
};

// The schedule of the range test.
class GrowingRate final : public Scheduler {
 public:
  GrowingRate(const LrFinder& finder, double base) : finder_(finder), base_(base) {}
  double factor(std::int64_t /*update*/) override { return finder_.next_rate() / base_; }

 private:
  const LrFinder& finder_;
  double base_;
};

std::int64_t choose_seed(std::int64_t configured) {
  if (configured >= 0) return configured;
  return static_cast<std::int64_t>(std::random_device()() >> 1);
}

// A run up to its trainer, as `pergola train` builds it.
class TuningRun {
 public:
  explicit TuningRun(const TuneRequest& request)
      : root_(request.config.root),
        config_(RunConfig::parse(root_)),
        seed_(choose_seed(config_.training.seed)) {
    session_.emplace(config_, request.catalog);
    session_->build_model("train", seed_);
    check_losses(config_, session_->model());
    enable_recompute(session_->model(), config_);
    session_->load_pretrained();
    freeze_parameters(session_->model(), root_.table("training"));
    optimizer_ = build_optimizer(session_->registry(), session_->model(), root_.table("optimizer"));
  }

  // Updates until `visit` asks for the end, or `max_updates` are made.
  void train(TrainerOptions options, Scheduler* scheduler, BatchSource& batches,
             UpdateWatcher::Visitor visit) {
    const TrainingConfig& training = config_.training;
    options.precision = training.precision;
    options.max_grad_l2_norm = training.max_grad_l2_norm;
    options.clip_grad_value = training.clip_grad_value;
    options.exit_on_nan_losses = false;
    options.log_interval = std::numeric_limits<std::int64_t>::max();
    Trainer trainer(
        {session_->model(), *optimizer_, scheduler, batches, /*validate=*/{}, session_->device()},
        options, TrainerState());
    trainer.add_callback("watcher", std::make_unique<UpdateWatcher>(std::move(visit)));
    static_cast<void>(trainer.run());
  }

  // optimizer.params.lr, or its default.
  [[nodiscard]] double configured_rate() const {
    const Config params = root_.table("optimizer.params");
    const std::string type = root_.get<std::string>("optimizer.type");
    const std::optional<ComponentSpec>& spec = session_->registry().spec(Kind::kOptimizer, type);
    const std::optional<double> rate = (spec ? spec->complete(params) : params).find<double>("lr");
    if (!rate) {
      throw Error(ErrorKind::kConfig, "optimizer.params.lr is not set, and optimizer '", type,
                  "' has no default for it, so there is no rate to look for; set it to a number "
                  "above 0");
    }
    if (*rate > 0) return *rate;
    throw params.error("lr",
                       "is not above 0; the rates of all groups are tried in proportion to "
                       "it, so set it to a number above 0");
  }

  // Of the largest data set.
  [[nodiscard]] std::int64_t most_samples() {
    const Value sizes = session_->num_samples("train");
    if (!sizes.is_table()) return sizes.as_integer();
    std::int64_t most = 0;
    for (const auto& [dataset, size] : sizes.as_table()) most = std::max(most, size.as_integer());
    return most;
  }

  [[nodiscard]] const Config& root() const noexcept { return root_; }
  [[nodiscard]] const RunConfig& config() const noexcept { return config_; }
  [[nodiscard]] Session& session() { return *session_; }
  [[nodiscard]] std::uint64_t seed() const { return static_cast<std::uint64_t>(seed_); }

 private:
  Config root_;
  RunConfig config_;
  std::int64_t seed_;
  std::optional<Session> session_;
  std::unique_ptr<Optimizer> optimizer_;
};

// The speed of updates with one batch each.
class SpeedTrial {
 public:
  explicit SpeedTrial(std::int64_t batch_size) : batch_size_(batch_size) {}

  void count(TrainerState& state, std::int64_t samples) {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    begin_ = now;
    ++updates_;
    if (updates_ <= kWarmUp) return;
    // The last batch of an epoch is smaller, and its time says little.
    if (samples == batch_size_) rates_.push_back(static_cast<double>(samples) / seconds);
    state.should_stop = rates_.size() >= kMeasured;
  }

  [[nodiscard]] double samples_per_second() {
    if (rates_.empty()) return 0;
    std::sort(rates_.begin(), rates_.end());
    return rates_[rates_.size() / 2];
  }

  static constexpr std::int64_t kMostUpdates = 40;  // where hardly a batch is full

 private:
  static constexpr std::int64_t kWarmUp = 2;  // memory is allocated, kernels are chosen
  static constexpr std::size_t kMeasured = 5;

  std::int64_t batch_size_;
  std::int64_t updates_ = 0;
  std::vector<double> rates_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

std::int64_t bytes_of(const MemoryWatch& watch, c10::Device device) {
  if (const auto memory = device_memory(device)) return memory->peak;
  return watch.peak();
}

// Nothing when memory ran out; what the trial held is free again then.
std::optional<BatchSizeTrial> try_batch_size(TuningRun& run, std::int64_t batch_size,
                                             const MemoryWatch& watch) {
  Session& session = run.session();
  SpeedTrial trial(batch_size);
  try {
    session.set_batch_size(batch_size);
    const std::unique_ptr<BatchSource> batches = session.training_batches(run.seed());
    TrainerOptions options;
    options.max_updates = SpeedTrial::kMostUpdates;
    run.train(options, /*scheduler=*/nullptr, *batches,
              [&](TrainerState& state, double /*loss*/, std::int64_t samples) {
                trial.count(state, samples);
              });
  } catch (const OutOfMemory&) {
    return std::nullopt;
  } catch (const std::exception& error) {
    if (is_out_of_memory(error)) return std::nullopt;
    throw;
  }
  return BatchSizeTrial{batch_size, trial.samples_per_second(), bytes_of(watch, session.device())};
}

}  // namespace

LrFindings tune_lr(const TuneRequest& request) {
  TuningRun run(request);
  LrFinder finder;
  GrowingRate schedule(finder, run.configured_rate());
  const std::unique_ptr<BatchSource> batches = run.session().training_batches(run.seed());
  TrainerOptions options;
  options.max_updates = LrFinderOptions().num_updates;
  options.update_frequency = run.config().training.update_frequency;
  options.scheduler = "range test";
  // What is frozen at first stays so, as it does for longer than this in most runs.
  FreezeSchedule(run.session().model(), run.config().training.unfreeze, batches->num_batches())
      .apply(/*updates=*/0);
  run.train(options, &schedule, *batches,
            [&](TrainerState& state, double loss, std::int64_t /*samples*/) {
              finder.add(loss);
              state.should_stop = finder.done();
            });
  return {finder.points(), finder.suggestion(), finder.diverged()};
}

BatchSizeFindings tune_batch_size(const TuneRequest& request) {
  TuningRun run(request);
  std::optional<MemoryWatch> watch;
  BatchSizeSearch search;
  const std::string key = batch_size_key(run.root().value());
  const Value* const configured = run.root().value().find(key);
  if (configured != nullptr && configured->origin() != "defaults") {
    search.first = run.config().training.batch_size;
  }
  search.key = key;
  search.samples = run.most_samples();
  search.measure = [&](std::int64_t batch_size) {
    watch.emplace();
    const std::optional<BatchSizeTrial> trial = try_batch_size(run, batch_size, *watch);
    if (trial) {
      log::info("[tune] ", key, " = ", batch_size, ": ",
                static_cast<std::int64_t>(trial->samples_per_second), " samples/s");
    }
    return trial;
  };
  if (run.session().device().is_cpu()) search.room = [&] { return watch->room(); };
  return find_batch_size(search);
}

}  // namespace pergola::host
