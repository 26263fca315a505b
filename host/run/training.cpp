// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/training.h"

#include "host/callbacks/early_stop_callback.h"
#include "host/callbacks/nan_guard_callback.h"
#include "host/callbacks/peak_flops.h"
#include "host/callbacks/profile_callback.h"
#include "host/callbacks/spike_guard_callback.h"
#include "host/callbacks/unfreeze_callback.h"
#include "host/device/device.h"
#include "host/device/step_graph.h"
#include "host/model/builder.h"
#include "host/model/guard.h"
#include "host/run/run_checks.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::int64_t kAllBatches = std::numeric_limits<std::int64_t>::max();

// What records updates, where training.cuda_graphs wants that; null where nothing does.
GraphRecorder* choose_recorder(Session& session) {
  const CudaGraphs wanted = session.config().training.cuda_graphs;
  if (wanted == CudaGraphs::kOff) return nullptr;
  if (session.device().is_cpu() && wanted == CudaGraphs::kAuto) return nullptr;
  std::string problem;
  GraphRecorder* recorder = nullptr;
  if (session.config().training.recompute) {
    problem = "training.recompute reads the random numbers' state, which a recording does not let";
  } else {
    recorder = session.graph_recorder(problem);
  }
  if (recorder == nullptr) {
    tell_not_recorded(session.config().model, problem, wanted == CudaGraphs::kOn);
  }
  return recorder;
}

}  // namespace

void enable_recompute(BaseModel& model, const RunConfig& config) {
  if (!config.training.recompute) return;
  if (model.enable_recompute()) {
    log::info("[model] activations are computed again in the backward pass");
    return;
  }
  throw Error(ErrorKind::kConfig, "training.recompute = true, but model '", config.model,
              "' has no parts that can be computed again; set it to false");
}

Training::Training(Session& session, const Config& root, std::int64_t seed,
                   std::filesystem::path run_dir, std::optional<std::int64_t> updates)
    : session_(session) {
  enable_recompute(session_.model(), session_.config());
  batches_ = session_.training_batches(static_cast<std::uint64_t>(seed));
  freeze_parameters(session_.model(), root.table("training"));
  if (!config().unfreeze.empty()) {
    freeze_schedule_.emplace(session_.model(), config().unfreeze, updates_per_epoch());
  }
  TrainerOptions trainer_options = options();
  if (updates) {
    // A schedule may end with the run: it goes on for as long as is needed.
    build_optimizer(root, std::max(trainer_options.max_updates, *updates));
    trainer_options.max_updates = *updates;
    trainer_options.max_seconds.reset();
    trainer_options.log_interval = std::numeric_limits<std::int64_t>::max();
  } else {
    build_optimizer(root, trainer_options.max_updates);
  }
  if (config().ema.enabled) {
    average_ = std::make_unique<WeightAverage>(session_.model(), config().ema);
  }
  TrainerState state;
  state.run_dir = std::move(run_dir);
  std::function<Numbers()> validation;
  if (!updates) validation = [this] { return validate(kAllBatches, validation_hooks()); };
  trainer_.emplace(TrainerParts{session_.model(), *optimizer_, scheduler_.get(), *batches_,
                                std::move(validation), session_.device(), average_.get(),
                                choose_recorder(session_)},
                   trainer_options, std::move(state));
}

Training::~Training() { session_.drop_recordings(); }

std::int64_t Training::updates_per_epoch() const {
  return updates_in_epoch(batches_->num_batches(), config().update_frequency);
}

TrainerOptions Training::options() const {
  const TrainingConfig& training = config();
  TrainerOptions options;
  options.max_updates = training.updates_to_train(updates_per_epoch());
  options.max_seconds = training.max_seconds;
  options.update_frequency = training.update_frequency;
  options.evaluation_interval = training.evaluation_interval;
  options.log_interval = training.log_interval;
  options.precision = training.precision;
  options.max_grad_l2_norm = training.max_grad_l2_norm;
  options.clip_grad_value = training.clip_grad_value;
  const bool skips_nan =
      training.nan_guard.enabled && training.nan_guard.action == GuardAction::kSkip;
  options.measure_grad_norm = training.spike_guard.enabled || skips_nan;
  if (session_.config().optimizer) options.optimizer = session_.config().optimizer->type;
  if (session_.config().scheduler) options.scheduler = session_.config().scheduler->type;
  options.criteria = training.monitor.criteria;
  options.exit_on_nan_losses = training.nan_guard.enabled;
  options.detect_anomaly = training.detect_anomaly;
  const bool skips_spikes =
      training.spike_guard.enabled && training.spike_guard.action == GuardAction::kSkip;
  options.steps_may_be_skipped = skips_nan || skips_spikes || !training.callbacks.empty();
  options.outputs_are_kept = !training.callbacks.empty();
  options.gradients_are_read =
      !training.callbacks.empty() || (training.tensorboard && training.histogram_interval > 0);
  options.graphs_are_required = training.cuda_graphs == CudaGraphs::kOn;
  options.halves_batches = training.on_out_of_memory == OnOutOfMemory::kHalve;
  return options;
}

void Training::build_optimizer(const Config& root, std::int64_t max_updates) {
  const Registry& registry = session_.registry();
  optimizer_ = host::build_optimizer(registry, session_.model(), root.table("optimizer"));
  const auto& scheduler = session_.config().scheduler;
  if (!scheduler) return;
  scheduler_ = build_scheduler(registry, scheduler->type, scheduler->params,
                               {max_updates, scheduler->by_epoch ? updates_per_epoch() : 1});
}

Numbers Training::validate(std::int64_t max_batches, const EvaluationHooks& hooks,
                           const BatchVisitor& visit) {
  std::optional<WeightAverage::Use> averaged;
  if (average_ != nullptr) averaged.emplace(*average_);
  EvaluationInput input = session_.evaluation_input("val");
  input.max_batches = std::min(input.max_batches, max_batches);
  input.hooks = hooks;
  return host::evaluate(input, visit);
}

EvaluationHooks Training::validation_hooks() {
  EvaluationHooks hooks;
  hooks.on_batch_start = [this](const SampleList& batch) {
    trainer_->notify("on_validation_batch_start", [&](Callback& callback, TrainerState& state) {
      callback.on_validation_batch_start(state, batch);
    });
  };
  hooks.on_batch_end = [this](const SampleList& batch, const ModelOutput& output) {
    trainer_->notify("on_validation_batch_end", [&](Callback& callback, TrainerState& state) {
      callback.on_validation_batch_end(state, batch, output);
    });
  };
  return hooks;
}

EvaluationHooks Training::test_hooks() {
  EvaluationHooks hooks;
  hooks.on_batch_start = [this](const SampleList& batch) {
    trainer_->notify("on_test_batch_start", [&](Callback& callback, TrainerState& state) {
      callback.on_test_batch_start(state, batch);
    });
  };
  hooks.on_batch_end = [this](const SampleList& batch, const ModelOutput& output) {
    trainer_->notify("on_test_batch_end", [&](Callback& callback, TrainerState& state) {
      callback.on_test_batch_end(state, batch, output);
    });
  };
  return hooks;
}

void Training::try_validation() {
  const RngStates rng = rng_states(session_.device());
  const std::int64_t steps = config().num_sanity_val_steps;
  BatchVisitor visit;
  const RunConfig& run = session_.config();
  if (run.evaluation.predict && (run.run_type.val || run.run_type.test)) {
    visit = [this](const Report& report) { static_cast<void>(session_.rows_of("val", report)); };
  }
  const Numbers first =
      validate(steps < 0 ? kAllBatches : std::max<std::int64_t>(1, steps), /*hooks=*/{}, visit);
  set_rng_states(session_.device(), rng);
  check_first_validation(session_.config(), first, session_.num_evaluated("val"));
}

template <class Made, class... Arguments>
Made& Training::add(const char* key, Arguments&&... arguments) {
  auto made = std::make_unique<Made>(std::forward<Arguments>(arguments)...);
  Made& added = *made;
  trainer_->add_callback(key, std::move(made));
  return added;
}

void Training::add_step_callbacks() {
  const Registry& registry = session_.registry();
  for (const TypedConfig& callback : config().callbacks) {
    trainer_->add_callback(callback.type,
                           guarded(Hook{"the constructor", "callback", callback.type},
                                   [&] { return registry.make_callback(callback); }));
  }
  if (freeze_schedule_) add<UnfreezeCallback>("unfreeze", std::move(*freeze_schedule_));
  add_guards();
}

void Training::add_profile(const ProfileConfig& profile, std::filesystem::path trace) {
  add<ProfileCallback>("profile", *trainer_, profile, std::move(trace));
}

void Training::add_callbacks(const Outputs& outputs) {
  if (config().profile.enabled) {
    add_profile(config().profile, trainer_->state().run_dir / "trace.json");
  }
  add_step_callbacks();
  add_logs(outputs);
  // These two come last: a checkpoint holds the state of all others, and early stopping asks for
  // the best validation that the checkpoints have.
  auto checkpoint = std::make_unique<CheckpointCallback>(*trainer_, outputs.store,
                                                         session_.config(), outputs.identity);
  checkpoint_ = checkpoint.get();
  checkpoint_->before_save([this] {
    logging_->sync();
    if (tensorboard_ != nullptr) tensorboard_->sync();
  });
  if (config().early_stop.enabled) {
    add<EarlyStopCallback>("early_stop", *checkpoint_, config().early_stop.patience);
  }
  trainer_->add_callback("checkpoint", std::move(checkpoint));
}

void Training::add_guards() {
  const TrainingConfig& training = config();
  if (training.nan_guard.enabled) {
    NanGuardOptions options;
    options.config = training.nan_guard;
    options.device = session_.device();
    // Looking for anomalies waits for the device all the time, and so may the guard.
    options.log_interval = training.detect_anomaly ? 1 : training.log_interval;
    options.checks_gradients = training.precision != Precision::kFp16;
    options.anomaly = [this] { return trainer_->anomaly(); };
    add<NanGuardCallback>("nan_guard", options);
  }
  if (training.spike_guard.enabled) add<SpikeGuardCallback>("spike_guard", training.spike_guard);
}

void Training::add_logs(const Outputs& outputs) {
  std::unique_ptr<MetricList> train_metrics;
  if (config().evaluate_metrics) train_metrics = session_.metrics();
  FlopOptions flops;
  flops.count = true;
  flops.peak = peak_flops(describe_device(session_.device()), config().precision);
  flops.recompute = config().recompute;
  logging_ = &add<LoggingCallback>("logging", *trainer_, outputs.metrics_file,
                                   std::move(train_metrics), flops);
  if (config().tensorboard) {
    tensorboard_ = &add<TensorBoardCallback>(
        "tensorboard", trainer_->state().run_dir / "tensorboard",
        flatten_hparams(outputs.root.value()), *optimizer_,
        TensorBoardOptions{.histogram_interval = config().histogram_interval});
    logging_->add_sink(*tensorboard_);
  }
  if (outputs.progress_bar && stderr_is_terminal()) {
    progress_ = &add<ProgressCallback>("progress", *trainer_);
    progress_->set_batches("val", count_batches("val"));
    logging_->add_sink(*progress_);
  }
}

std::int64_t Training::count_batches(const std::string& split) {
  std::int64_t count = 0;
  for (const BatchSource* source : session_.evaluation_input(split).loaders) {
    count += source->num_batches();
  }
  return count;
}

Session::Evaluation Training::evaluate(const std::string& split,
                                       const std::filesystem::path& predictions) {
  if (progress_ != nullptr) progress_->set_batches(split, count_batches(split));
  trainer_->notify("on_test_start",
                   [](Callback& callback, TrainerState& state) { callback.on_test_start(state); });
  Session::Evaluation result = session_.evaluate(split, predictions, test_hooks());
  trainer_->notify("on_test_end", [&](Callback& callback, TrainerState& state) {
    callback.on_test_end(state, result.numbers);
  });
  return result;
}

}  // namespace pergola::host
