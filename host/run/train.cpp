// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/checkpoint_callback.h"
#include "host/callbacks/logging_callback.h"
#include "host/callbacks/progress_callback.h"
#include "host/device/device.h"
#include "host/model/builder.h"
#include "host/model/freeze.h"
#include "host/model/guard.h"
#include "host/run/commands.h"
#include "host/run/run_checks.h"
#include "host/run/session.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "pergola/error.h"
#include "pergola/version.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

namespace pergola::host {
namespace {

// One `pergola train`, from the run's folder to its summary.
class TrainCommand {
 public:
  TrainCommand(const TrainRequest& request, RunConfig config)
      : request_(request), config_(std::move(config)), folder_(config_.env.save_dir, existing()) {}

  RunResult run() {
    add_log_file(folder_.log());
    log::info("[run] pergola ", PERGOLA_VERSION, ", folder ", folder_.path().string());
    try {
      build();
      if (trainer_->run() == Outcome::kInterrupted) throw Stopped(stop_signal());
      evaluate_as_asked();
      result_.status = "finished";
    } catch (const Stopped& stopped) {
      put_old_run_back();
      const bool kept_old = existing() == ExistingRun::kOverwrite && !began_;
      log::info("[run] stopped by signal ", stopped.signal_number(), "; ",
                kept_old ? "the run that was there is as it was" : "go on with --resume");
      result_.status = "interrupted";
      result_.stop_signal = stopped.signal_number();
    } catch (const Error& error) {
      put_old_run_back();
      write_summary(error.kind() == ErrorKind::kNan ? "nan" : "failed", error.what());
      throw;
    } catch (const std::exception& error) {
      put_old_run_back();
      write_summary("failed", error.what());
      throw;
    }
    result_.run_dir = folder_.path();
    if (trainer_) result_.updates = trainer_->state().progress.update;
    write_summary(result_.status, "");
    return result_;
  }

 private:
  [[nodiscard]] ExistingRun existing() const {
    const bool resume = config_.checkpoint.resume && request_.existing == ExistingRun::kRefuse;
    return resume ? ExistingRun::kResume : request_.existing;
  }

  void build() {
    check_callbacks(config_.training.callbacks);
    const CheckpointStore store(folder_.path(), config_.checkpoint.max_to_keep);
    std::optional<ResumePoint> resumed;
    if (existing() == ExistingRun::kResume) resumed = store.find_resume();
    choose_seed(resumed);
    load_plugins();
    if (resumed) {
      session_->check_identity(resumed->content.state);
      check_continuation(resumed->content.state, identity());
      session_->check_data(resumed->content.state, "train");
    }
    session_->build_model("train", seed_);
    check_losses(config_, session_->model());
    if (!resumed) session_->load_pretrained();
    // A test split that cannot be read is to be known before the night, not after it.
    if (config_.run_type.test) static_cast<void>(session_->dataset("test"));
    build_trainer(store);
    if (resumed) {
      trainer_->restore(resumed->content);
      folder_.mark();
      if (resumed->folder == store.last()) checkpoint_callback_->set_resumed_from_last();
      log::info("[resume] from ", resumed->folder.string(), " at update ",
                trainer_->state().progress.update, " of ", trainer_->state().max_updates);
      if (trainer_->state().progress.update >= trainer_->state().max_updates) {
        log::info(
            "[resume] nothing is left to train; to go on, raise training.max_epochs or "
            "training.max_updates");
      }
    } else if (existing() == ExistingRun::kResume) {
      log::warning("[resume] there is no checkpoint in ", folder_.path().string(),
                   "; starting at update 0");
    }
    // Only now, when nothing that is known yet could refuse the run, is an old one touched.
    if (existing() == ExistingRun::kOverwrite && folder_.holds_run()) {
      folder_.set_aside();
      checkpoint_callback_->after_save([this] { folder_.remove_replaced(); });
    }
    store.check_writable();
    write_file_atomic(folder_.config(), request_.config.to_file());
    began_ = true;
  }

  // Called while another error is handled, so it logs its own: the first one is to be reported.
  void put_old_run_back() {
    try {
      if (folder_.put_back()) began_ = false;
    } catch (const std::exception& error) {
      log::error("[run] ", error.what(), "; the run that was to be overwritten is in ",
                 folder_.replaced().string());
    }
  }

  // A static constructor of a plugin that throws ends the process, and nobody can catch that: until
  // the plugins are loaded, the summary says what has happened if nobody replaces it.
  void load_plugins() {
    write_summary("failed", "the process ended while it loaded plugins");
    session_.emplace(config_, request_.catalog);
    std::error_code ignored;
    if (!folder_.holds_run()) std::filesystem::remove(folder_.summary(), ignored);
  }

  // What the checkpoints say about this run.
  [[nodiscard]] Value identity() {
    Value identity = session_->identity(request_.config.to_file());
    identity["seed"] = seed_;
    identity["data"] = session_->data_state("train");
    identity["train_samples"] = session_->dataset("train").size();
    return identity;
  }

  // A seed that was drawn belongs to the run: it goes on with the same order of samples.
  void choose_seed(const std::optional<ResumePoint>& resumed) {
    seed_ = config_.training.seed;
    const Value* saved = resumed ? resumed->content.state.find("seed") : nullptr;
    if (seed_ < 0 && saved != nullptr) seed_ = saved->as_integer();
    if (seed_ < 0) seed_ = static_cast<std::int64_t>(std::random_device()() >> 1);
    log::info("[run] seed ", seed_);
  }

  [[nodiscard]] std::int64_t updates_per_epoch() const {
    const std::int64_t group = config_.training.update_frequency;
    return (loader_->num_batches() + group - 1) / group;
  }

  [[nodiscard]] TrainerOptions trainer_options() const {
    const TrainingConfig& training = config_.training;
    TrainerOptions options;
    options.max_updates = training.max_updates;
    if (training.max_epochs) {
      const double updates = static_cast<double>(updates_per_epoch()) * *training.max_epochs;
      options.max_updates = std::max<std::int64_t>(1, std::llround(std::ceil(updates)));
    }
    options.update_frequency = training.update_frequency;
    options.evaluation_interval = training.evaluation_interval;
    options.log_interval = training.log_interval;
    options.max_grad_l2_norm = training.max_grad_l2_norm;
    options.clip_grad_value = training.clip_grad_value;
    if (config_.scheduler) options.scheduler = config_.scheduler->type;
    options.criteria = training.monitor.criteria;
    options.exit_on_nan_losses = training.exit_on_nan_losses;
    return options;
  }

  void build_trainer(const CheckpointStore& store) {
    const Registry& registry = session_->registry();
    loader_ = session_->loader("train", static_cast<std::uint64_t>(seed_));
    validation_loader_ = session_->loader("val", /*seed=*/0);
    validation_metrics_ = session_->metrics();
    const TrainerOptions options = trainer_options();
    freeze_parameters(session_->model(), request_.config.root.table("training"));
    optimizer_ =
        build_optimizer(registry, session_->model(), request_.config.root.table("optimizer"));
    if (config_.scheduler) {
      scheduler_ = build_scheduler(
          registry, config_.scheduler->type, config_.scheduler->params,
          {options.max_updates, config_.scheduler->by_epoch ? updates_per_epoch() : 1});
    }
    const auto validate = [this] {
      return evaluate(EvaluationInput{session_->model(), *validation_loader_, *validation_metrics_,
                                      session_->device()});
    };
    TrainerState state;
    state.run_dir = folder_.path();
    trainer_.emplace(TrainerParts{session_->model(), *optimizer_, scheduler_.get(), *loader_,
                                  validate, session_->device()},
                     options, std::move(state));
    try_validation();
    add_callbacks(store);
  }

  // What does not fit the data, or has a wrong name, is to be known before the first epoch and not
  // after it. Training draws the same random numbers as without it.
  void try_validation() {
    const at::Tensor rng = rng_state(session_->device());
    const Numbers first =
        evaluate(EvaluationInput{session_->model(), *validation_loader_, *validation_metrics_,
                                 session_->device(), Step::kValidation, /*max_batches=*/1});
    set_rng_state(session_->device(), rng);
    check_first_validation(config_, first, session_->dataset("val").size());
  }

  void add_callbacks(const CheckpointStore& store) {
    const Registry& registry = session_->registry();
    std::unique_ptr<MetricList> train_metrics;
    if (config_.training.evaluate_metrics) train_metrics = session_->metrics();
    for (const TypedConfig& callback : config_.training.callbacks) {
      trainer_->add_callback(callback.type,
                             guarded("the constructor of callback '" + callback.type + "'",
                                     [&] { return registry.make_callback(callback); }));
    }
    auto logging =
        std::make_unique<LoggingCallback>(*trainer_, folder_.metrics(), std::move(train_metrics));
    logging_callback_ = logging.get();
    trainer_->add_callback("logging", std::move(logging));
    if (request_.progress_bar && stderr_is_terminal()) {
      trainer_->add_callback("progress", std::make_unique<ProgressCallback>(*trainer_));
    }
    auto checkpoint =
        std::make_unique<CheckpointCallback>(*trainer_, store, config_.training, identity());
    checkpoint_callback_ = checkpoint.get();
    trainer_->add_callback("checkpoint", std::move(checkpoint));
  }

  // After training: the best weights on the splits of run_type.
  void evaluate_as_asked() {
    const CheckpointStore store(folder_.path());
    result_.checkpoint = has_best() ? store.best() : store.last();
    if (!config_.run_type.val && !config_.run_type.test) return;
    const CheckpointContent weights = load_checkpoint(result_.checkpoint, CheckpointParts::kModel);
    session_->load_weights(weights, result_.checkpoint);
    Progress progress;
    progress.epoch = weights.state.find("progress.epoch")->as_integer();
    progress.update = weights.state.find("progress.update")->as_integer();
    for (const char* split : {"val", "test"}) {
      const bool wanted =
          split == std::string("val") ? config_.run_type.val : config_.run_type.test;
      if (!wanted) continue;
      const std::filesystem::path predictions =
          config_.evaluation.predict ? folder_.predictions(config_.dataset, split) : "";
      const Numbers numbers = session_->evaluate(split, predictions);
      logging_callback_->log_evaluation(progress, split, has_best() ? "best" : "last", numbers);
      for (const auto& [key, number] : numbers) result_.metrics[key] = number;
      if (!predictions.empty()) result_.files.push_back(predictions);
    }
    log::info("[", config_.run_type.test ? "test" : "val", "] ", format_numbers(result_.metrics));
  }

  // A validation may find one that could not be saved.
  [[nodiscard]] bool has_best() const {
    std::error_code ignored;
    return checkpoint_callback_ != nullptr && checkpoint_callback_->best().update >= 0 &&
           std::filesystem::exists(CheckpointStore(folder_.path()).best(), ignored);
  }

  // The last thing that is written; after an error nothing may hide that error.
  void write_summary(const std::string& status, const std::string& problem) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin_;
    Value summary;
    summary["status"] = status;
    summary["seconds"] = spent.count();
    summary["version"] = PERGOLA_VERSION;
    summary["metrics"] = Value::Table{};
    for (const auto& [key, number] : result_.metrics) summary["metrics"][key] = number;
    if (!problem.empty()) summary["error"] = problem;
    if (session_) {
      summary["device"] = describe_device(session_->device());
      summary["model"] = config_.model;
      summary["dataset"] = config_.dataset;
      summary["plugin"] = *session_->identity("").find("plugin");
    }
    if (trainer_) summary["updates"] = trainer_->state().progress.update;
    if (has_best()) {
      summary["best"]["criteria"] = config_.training.monitor.criteria;
      summary["best"]["value"] = checkpoint_callback_->best().value;
      summary["best"]["update"] = checkpoint_callback_->best().update;
    }
    try {
      if (!began_ && folder_.holds_run()) return;  // it is another run's, which goes on as it was
      write_file_atomic(folder_.summary(), to_json(summary, /*indent=*/2) + '\n');
    } catch (const Error& error) {
      if (problem.empty()) throw;
      log::error("[run] ", error.what());
    }
  }

  const TrainRequest& request_;
  RunConfig config_;
  RunFolder folder_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::int64_t seed_ = 0;
  bool began_ = false;  // the folder is this run's
  RunResult result_;
  // In the order in which they are built: the trainer dies first, the registry last.
  std::optional<Session> session_;
  std::unique_ptr<DataLoader> loader_;
  std::unique_ptr<DataLoader> validation_loader_;
  std::unique_ptr<MetricList> validation_metrics_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Scheduler> scheduler_;
  std::optional<Trainer> trainer_;
  LoggingCallback* logging_callback_ = nullptr;  // the trainer's, as is the next
  CheckpointCallback* checkpoint_callback_ = nullptr;
};

}  // namespace

RunResult train(const TrainRequest& request) {
  RunConfig config = RunConfig::parse(request.config.root);
  if (config.run_type.train) {
    config.warn_of_no_effect(request.config.root);
    return TrainCommand(request, std::move(config)).run();
  }
  if (request.existing == ExistingRun::kOverwrite) {
    log::warning("[run] --overwrite has no effect, because run_type does not have train");
  }
  RunResult all;
  for (const char* split : {"val", "test"}) {
    const bool wanted = split == std::string("val") ? config.run_type.val : config.run_type.test;
    if (!wanted) continue;
    RunResult one =
        evaluate({request.config, request.catalog, split, {}, config.evaluation.predict});
    one.metrics.merge(all.metrics);
    one.files.insert(one.files.begin(), all.files.begin(), all.files.end());
    all = std::move(one);
  }
  return all;
}

}  // namespace pergola::host
