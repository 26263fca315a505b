// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/bench.h"

#include "host/callbacks/flop_counter.h"
#include "host/config/run_config.h"
#include "host/data/batch_maker.h"
#include "host/device/device_clock.h"
#include "host/device/kernel_counter.h"
#include "host/device/memory.h"
#include "host/device/waiting_operations.h"
#include "host/run/bench_replays.h"
#include "host/run/bench_setup.h"
#include "host/run/rehearsal_folder.h"
#include "host/run/run_checks.h"
#include "host/run/session.h"
#include "host/run/training.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "host/train/memory_watch.h"
#include "host/train/phase_times.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

// How much of a batch's text is none of its padding, as a tensor that sums up to it.
std::optional<at::Tensor> tokens_of(const SampleList& batch) {
  for (const char* field : {"input_mask", "text_len"}) {
    if (!batch.has(field)) continue;
    try {
      return batch.tensor(field);
    } catch (const Error&) {
      // A plugin's field of that name may be of another kind, and then says nothing.
    }
  }
  return std::nullopt;
}

// Measures the trainer that calls it. Nothing of that waits for the device while a window lasts.
class BenchCallback final : public Callback {
 public:
  BenchCallback(const BenchPlan& plan, Trainer& trainer)
      : plan_(plan), trainer_(trainer), beside_(trainer.device(), plan.steps) {}

  // After how many updates it is done; before the windows are over, after how many at most.
  [[nodiscard]] std::int64_t end() const { return plan_.end; }

  void on_update_start(TrainerState& state) override {
    const Progress& progress = state.progress;
    if (plan_.in_windows(progress.update) && (progress.update - plan_.windows) % plan_.steps == 0) {
      begin_window(progress);
    }
    if (plan_.in_comparison(progress.update) && plan_.begins_compared(progress.update)) {
      compared_replays_ = -trainer_.graph_replays();
      trainer_.note_replays(&beside_.begin_window());
    }
    if (progress.update == plan_.waits) waiting_.emplace(trainer_.device());
    if (progress.update == plan_.kernels && plan_.kernels < plan_.flops) {
      kernel_counter_.emplace(trainer_.device());
    }
    if (progress.update < plan_.flops) return;
    trainer_.pause_graphs(true);  // a replay calls no operators
    samples_before_ = progress.samples_seen;
    flop_counter_.emplace();
  }

  void on_batch_end(TrainerState& state, const SampleList& batch,
                    const ModelOutput& /*output*/) override {
    if (!plan_.in_windows(state.progress.update) || !tokens_known_) return;
    const std::optional<at::Tensor> tokens = tokens_of(batch);
    tokens_known_ = tokens.has_value();
    if (tokens) tokens_.push_back(*tokens);
  }

  void on_step_start(TrainerState& state) override {
    if (!flop_counter_) return;
    flops_ += flop_counter_->flops();
    flop_samples_ += state.progress.samples_seen - samples_before_;
    flop_counter_.reset();
  }

  void on_update_complete(TrainerState& state) override {
    const Progress& progress = state.progress;
    if (plan_.in_windows(progress.update - 1)) end_step(progress);
    if (plan_.in_comparison(progress.update - 1) && plan_.ends_compared(progress.update - 1)) {
      trainer_.note_replays(nullptr);
      beside_.end_window(compared_replays_ + trainer_.graph_replays());
    }
    if (progress.update == plan_.kernels) {
      waits_ = waiting_->counts();
      waiting_.reset();
    }
    if (progress.update == plan_.flops && kernel_counter_) {
      kernels_ = kernel_counter_->stop();
      kernel_counter_.reset();
    }
    if (progress.update == plan_.end) state.should_stop = true;  // where steps were left out
  }

  // REQUIRES: training has reached the plan's end.
  void fill(BenchReport& report) const {
    std::vector<double> steps;
    for (const Window& window : windows_) {
      const std::vector<double> seconds = window.clock.seconds();
      const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
      steps.insert(steps.end(), seconds.begin(), seconds.end());
      report.samples_per_second.push_back(static_cast<double>(window.samples) / sum);
      if (!tokens_known_) continue;
      report.tokens_per_second.push_back(window.tokens.item<double>() / sum);
    }
    report.step_ms = milliseconds(std::move(steps));
    beside_.fill(report);
    report.data_wait = phases_[Phase::kData] / phases_.sum();
    report.peak_bytes = peak_bytes_;
    if (report.on_gpu) {
      report.replayed =
          static_cast<double>(replays_) / static_cast<double>(plan_.profile - plan_.windows);
    }
    for (const auto& [name, count] : waits_) report.waits[name] = BenchPlan::per_step(count);
    if (kernels_) report.kernels = BenchPlan::per_step(*kernels_);
    if (flops_ == 0 || flop_samples_ == 0) return;
    report.flops_per_sample = static_cast<double>(flops_) / static_cast<double>(flop_samples_);
  }

 private:
  struct Window {
    explicit Window(c10::Device device) : clock(device) {}

    DeviceClock clock;  // a mark before each step and after the last
    std::int64_t samples = 0;
    at::Tensor tokens;  // how many, where that is known
  };

  void begin_window(const Progress& progress) {
    if (windows_.empty()) {
      static_cast<void>(trainer_.times().take());
      replays_ = -trainer_.graph_replays();
    }
    samples_before_ = progress.samples_seen;
    windows_.emplace_back(trainer_.device());
    windows_.back().clock.mark();
  }

  void end_step(const Progress& progress) {
    Window& window = windows_.back();
    window.clock.mark();
    if ((progress.update - plan_.windows) % plan_.steps != 0) return;
    window.samples = progress.samples_seen - samples_before_;
    if (tokens_known_) {  // between two windows, where it takes nobody's time
      const at::NoGradGuard no_grad;
      window.tokens = at::zeros({}, at::TensorOptions(at::kDouble).device(trainer_.device()));
      for (const at::Tensor& part : tokens_) window.tokens += part.sum(at::kDouble);
    }
    tokens_.clear();
    if (progress.update == plan_.profile) end_windows();
  }

  // Before anything is counted, which takes memory.
  void end_windows() {
    phases_ = trainer_.times().take();
    replays_ += trainer_.graph_replays();
    if (replays_ == 0) plan_.leave_out_comparison();
    const std::optional<DeviceMemory> memory = device_memory(trainer_.device());
    peak_bytes_ = memory ? memory->peak : process_bytes_before_ + watch_.peak();
  }

  BenchPlan plan_;
  Trainer& trainer_;
  std::int64_t samples_before_ = 0;  // seen when the window, or the update, began
  std::vector<Window> windows_;
  std::vector<at::Tensor> tokens_;  // of the batches of the window in hand
  bool tokens_known_ = true;
  PhaseSeconds phases_;  // of all windows
  std::int64_t replays_ = 0;
  LoopBesideReplays beside_;
  std::int64_t compared_replays_ = 0;  // of the window in hand
  std::int64_t process_bytes_before_ = process_memory();
  MemoryWatch watch_;
  std::int64_t peak_bytes_ = 0;
  std::optional<WaitingOperations> waiting_;
  std::map<std::string, std::int64_t> waits_;
  std::optional<KernelCounter> kernel_counter_;
  std::optional<std::int64_t> kernels_;
  std::optional<FlopCounter> flop_counter_;
  std::int64_t flops_ = 0;
  std::int64_t flop_samples_ = 0;
};

// Callbacks' teardown comes at every end.
struct TearDown {
  explicit TearDown(Trainer& of) : trainer(of) {}
  TearDown(const TearDown&) = delete;
  TearDown& operator=(const TearDown&) = delete;
  ~TearDown() { trainer.tear_down(); }

  Trainer& trainer;
};

// Steps after which the loop is as fast as it is for long: what the loader has made while replays
// went on is used up then.
std::optional<std::int64_t> steps_to_settle(const Session& session) {
  if (session.device().is_cpu()) return std::nullopt;
  constexpr std::int64_t kLaunchedAhead = 3;
  return kLaunchedAhead + session.config().training.num_workers * LoaderOptions().prefetch;
}

// All updates of the plan.
void train(Trainer& trainer, const BenchCallback& measured) {
  trainer.notify("on_init_start", [](Callback& c, TrainerState& s) { c.on_init_start(s); });
  trainer.notify("on_init_end", [](Callback& c, TrainerState& s) { c.on_init_end(s); });
  if (trainer.run() == Outcome::kInterrupted) throw Stopped(stop_signal());
  const std::int64_t updates = trainer.state().progress.update;
  if (updates == measured.end()) return;
  throw Error(ErrorKind::kConfig, "a callback ended the training after update ", updates,
              ", and a bench needs ", measured.end(),
              "; leave it out of training.callbacks, or measure less ",
              "with --windows, --steps and --warm-up");
}

}  // namespace

BenchReport bench(const BenchRequest& request) {
  const Config& root = request.config.root;
  RunConfig config = RunConfig::parse(root);
  check_callbacks(config.training.callbacks);
  // -1 draws a seed; the same samples in each bench compare better.
  const std::int64_t seed = std::max<std::int64_t>(0, config.training.seed);
  Session session(std::move(config), request.catalog);
  session.build_model("train", seed);
  check_losses(session.config(), session.model());
  session.load_pretrained();
  const RehearsalFolder folder;  // for what callbacks write into a run's
  BenchReport report = report_of(request, session, BenchWork::kTraining);
  const BenchPlan plan(request, report.on_gpu, steps_to_settle(session));
  Training training(session, root, seed, folder.path(), plan.end);
  if (request.trace) {
    const ProfileConfig profile{
        .enabled = true, .start_update = plan.profile, .updates = BenchPlan::kProfiled};
    training.add_profile(profile, *request.trace);
  }
  training.add_step_callbacks();
  Trainer& trainer = training.trainer();
  auto callback = std::make_unique<BenchCallback>(plan, trainer);
  const BenchCallback& measured = *callback;
  trainer.add_callback("bench", std::move(callback));
  const TearDown tear_down(trainer);
  log::info("[bench] ", plan.text("updates"));
  train(trainer, measured);
  measured.fill(report);
  return report;
}

}  // namespace pergola::host
