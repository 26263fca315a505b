// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/names.h"
#include "host/device/device.h"
#include "host/model/summary.h"
#include "host/run/commands.h"
#include "host/run/config_changes.h"
#include "host/run/git_details.h"
#include "host/run/rehearsal_folder.h"
#include "host/run/resume.h"
#include "host/run/run_checks.h"
#include "host/run/run_summary.h"
#include "host/run/training.h"
#include "host/support/crash_report.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "pergola/error.h"
#include "pergola/suggest.h"
#include "pergola/version.h"

#include <chrono>
#include <random>

namespace pergola::host {
namespace {

// One `pergola train`, from the run's folder to its summary.
class TrainCommand {
 public:
  TrainCommand(const TrainRequest& request, RunConfig config)
      : request_(request), config_(std::move(config)), folder_(config_.env.save_dir, existing()) {}

  RunResult run() {
    const bool json = config_.training.log_format == LogFormat::kJson;
    add_log_file(folder_.log(), json ? LogFileFormat::kJson : LogFileFormat::kText);
    log::info("[run] pergola ", PERGOLA_VERSION, ", folder ", folder_.path().string());
    if (config_.training.log_detailed_config) {
      log::info("[config]\n", request_.config.show());
    }
    try {
      build();
      if (trainer().run() == Outcome::kInterrupted) throw Stopped(stop_signal());
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
      fail(error.kind() == ErrorKind::kNan ? "nan" : "failed", error.what());
      throw;
    } catch (const std::exception& error) {
      fail("failed", error.what());
      throw;
    }
    if (training_) trainer().tear_down();
    result_.run_dir = folder_.path();
    if (training_) result_.updates = trainer().state().progress.update;
    write_summary(result_.status, "");
    return result_;
  }

 private:
  [[nodiscard]] ExistingRun existing() const {
    const bool resume = config_.checkpoint.resume && request_.existing == ExistingRun::kRefuse;
    return resume ? ExistingRun::kResume : request_.existing;
  }
  [[nodiscard]] Trainer& trainer() { return training_->trainer(); }

  void build() {
    check_callbacks(config_.training.callbacks);
    const CheckpointStore store(
        folder_.path(), Retention{config_.checkpoint.max_to_keep, config_.checkpoint.keep_every});
    const bool resume = existing() == ExistingRun::kResume;
    std::optional<ResumePoint> begun = find_beginning(config_.checkpoint, store, resume);
    // With --overwrite, a checkpoint of the run that is there is one like any other.
    const bool is_own =
        resume && begun && begun->folder.parent_path() == store.last().parent_path();
    check_resets(is_own);
    if (!begun) warn_of_idle_resets();
    if (!begun) take_weights_of_resume_file();
    choose_seed(begun);
    load_plugins();
    if (begun) check_beginning(*begun);
    session_->build_model("train", seed_);
    check_losses(config_, session_->model());
    if (!begun) session_->load_pretrained();
    // A test split that cannot be read is to be known before the night, not after it.
    if (config_.run_type.test) session_->read_data("test");
    training_.emplace(*session_, request_.config.root, seed_, folder_.path());
    training_->try_validation();
    training_->add_callbacks(
        {store, folder_.metrics(), identity(), request_.config.root, request_.progress_bar});
    log_parts(session_->model());
    trainer().notify("on_init_start", [](Callback& c, TrainerState& s) { c.on_init_start(s); });
    if (begun) restore(*begun);
    if (is_own) folder_.mark();
    if (resume && !begun) {
      log::warning("[resume] there is no checkpoint in ", folder_.path().string(),
                   "; starting at update 0");
    }
    trainer().notify("on_init_end", [](Callback& c, TrainerState& s) { c.on_init_end(s); });
    // Only now, when nothing that is known yet could refuse the run, is an old one touched.
    if (existing() == ExistingRun::kOverwrite && folder_.holds_run()) {
      folder_.set_aside();
      training_->checkpoint().after_save([this] { folder_.remove_replaced(); });
    }
    store.check_writable();
    if (is_own) resume_own(store, *begun);
    write_file_atomic(folder_.config(), request_.config.to_file(Origins::kShow));
    began_ = true;
    write_summary("running", "");
    // The folder of a rehearsal is nothing to go on from.
    if (config_.training.fast_dev_run == 0) set_crash_checkpoint(store.last(), kManifestFile);
  }

  // From here on a later start finds what this one began with, whatever happens to it: what is
  // newer, of which metrics.jsonl will not tell, is not gone on from by mistake.
  void resume_own(const CheckpointStore& store, const ResumePoint& begun) {
    store.resume_at(begun.folder, trainer().state().progress.update);
    training_->checkpoint().set_resumed_from_last();
    training_->logging().expect_earlier_lines();
  }

  void warn_of_idle_resets() const {
    const CheckpointConfig& checkpoint = config_.checkpoint;
    const ResetConfig& reset = checkpoint.reset;
    const std::pair<const char*, bool> keys[] = {{"reset.all", reset.all},
                                                 {"reset.optimizer", reset.optimizer},
                                                 {"reset.counts", reset.counts},
                                                 {"reset.fp16_scaler", reset.fp16_scaler},
                                                 {"resume_best", checkpoint.resume_best}};
    for (const auto& [key, is_set] : keys) {
      if (!is_set) continue;
      log::warning("[resume] checkpoint.", key,
                   " has no effect, because there is no checkpoint to go on from");
    }
  }

  // Counting anew in a folder would overwrite what it says of the updates that were counted there.
  void check_resets(bool is_own) const {
    const ResetConfig& reset = config_.checkpoint.reset;
    if (!is_own || (!reset.all && !reset.counts)) return;
    throw Error(ErrorKind::kConfig, "checkpoint.reset.", reset.all ? "all" : "counts",
                " = true would begin at update 0 over the run in ", folder_.path().string(),
                "; give the new run a folder of its own with --run-dir, and checkpoint.resume_file "
                "= \"",
                folder_.path().string(), "\" in place of --resume");
  }

  void check_beginning(const ResumePoint& begun) {
    const ResetConfig& reset = config_.checkpoint.reset;
    session_->check_identity(begun.content.state);
    if (!reset.all && !reset.counts) {
      check_continuation(begun.content.state, identity(), reset.optimizer);
    }
    session_->check_data(begun.content.state, "train");
  }

  // A resume_file that the run does not begin at, for it is no checkpoint of Pergola, has weights
  // alone.
  void take_weights_of_resume_file() {
    CheckpointConfig& checkpoint = config_.checkpoint;
    if (!checkpoint.resume_file) return;
    log::info("[resume] ", checkpoint.resume_file->string(), " is no checkpoint of Pergola: takes ",
              "its weights, and leaves out all else");
    checkpoint.pretrained = std::exchange(checkpoint.resume_file, std::nullopt);
  }

  void restore(ResumePoint& begun) {
    session_->migrate(begun.content);
    const ResetConfig& reset = config_.checkpoint.reset;
    const RestoreReport report = trainer().restore(begun.content, reset);
    const TrainerState& state = trainer().state();
    log::info("[resume] from ", begun.folder.string(), " at update ", state.progress.update, " of ",
              state.max_updates, ": ", report.text());
    if (!reset.all && !reset.counts) log_config_changes(begun.content.state, request_.config.root);
    if (state.progress.update < state.max_updates) return;
    log::info(
        "[resume] nothing is left to train; to go on, raise training.max_epochs or "
        "training.max_updates");
  }

  void fail(const char* status, const std::string& problem) {
    put_old_run_back();
    if (training_) {
      trainer().report_exception(problem);
      trainer().tear_down();
    }
    write_summary(status, problem);
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
    identity["train_samples"] = session_->num_samples("train");
    if (config_.checkpoint.save_git_details) identity["git"] = git_details(".");
    return identity;
  }

  // A seed that was drawn belongs to the run: it goes on with the same order of samples.
  void choose_seed(const std::optional<ResumePoint>& begun) {
    seed_ = config_.training.seed;
    const Value* saved = begun ? begun->content.state.find("seed") : nullptr;
    if (seed_ < 0 && saved != nullptr) seed_ = saved->as_integer();
    if (seed_ < 0) seed_ = static_cast<std::int64_t>(std::random_device()() >> 1);
    log::info("[run] seed ", seed_);
  }

  // After training: the best weights on the splits of run_type.
  void evaluate_as_asked() {
    const CheckpointStore store(folder_.path());
    result_.checkpoint = has_best() ? store.best() : store.last();
    if (!config_.run_type.val && !config_.run_type.test) return;
    evaluate_splits();
    log::info("[", config_.run_type.test ? "test" : "val", "] ", format_numbers(result_.metrics));
  }

  void evaluate_splits() {
    const CheckpointContent weights = load_checkpoint(result_.checkpoint, CheckpointParts::kModel);
    session_->load_weights(weights, result_.checkpoint);
    Progress progress;
    progress.epoch = weights.state.find("progress.epoch")->as_integer();
    progress.update = weights.state.find("progress.update")->as_integer();
    const bool predict = config_.evaluation.predict;
    if (predict) {
      trainer().notify("on_prediction_start",
                       [](Callback& c, TrainerState& s) { c.on_prediction_start(s); });
    }
    for (const char* split : {"val", "test"}) {
      const bool is_val = split == std::string("val");
      if (!(is_val ? config_.run_type.val : config_.run_type.test)) continue;
      const Session::Evaluation one =
          training_->evaluate(split, predict ? folder_.path() / "predictions" : "");
      training_->logging().log_evaluation(progress, split, has_best() ? "best" : "last",
                                          one.numbers);
      if (!is_val && one.numbers.empty()) {  // of val it was told before training
        log::warning("[run] there is nothing to measure in the test: ",
                     why_nothing_is_measured(config_, split, session_->num_evaluated(split)));
      }
      for (const auto& [key, number] : one.numbers) result_.metrics[key] = number;
      result_.files.insert(result_.files.end(), one.files.begin(), one.files.end());
    }
    if (predict) {
      trainer().notify("on_prediction_end",
                       [](Callback& c, TrainerState& s) { c.on_prediction_end(s); });
    }
  }

  [[nodiscard]] bool has_best() const { return training_ && training_->best().update >= 0; }

  // The last thing that is written; after an error nothing may hide that error.
  void write_summary(const std::string& status, const std::string& problem) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin_;
    SummaryFacts facts{status, problem, spent.count(), config_, result_.metrics};
    if (session_) facts.session = &*session_;
    if (training_) facts.training = &*training_;
    try {
      if (!began_ && folder_.holds_run()) return;  // it is another run's, which goes on as it was
      write_file_atomic(folder_.summary(), to_json(run_summary(facts), /*indent=*/2) + '\n');
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
  std::optional<Session> session_;
  std::optional<Training> training_;  // dies before the session
};

// A whole run, in a folder that is removed afterwards.
RunResult rehearse(const TrainRequest& request, RunConfig config) {
  const RehearsalFolder folder;
  config.env.save_dir = folder.path();
  config.checkpoint.resume = false;
  TrainRequest anew{request.config, request.catalog, ExistingRun::kRefuse, request.progress_bar};
  log_rehearsal(config.training.fast_dev_run);
  RunResult result = TrainCommand(anew, std::move(config)).run();
  result.run_dir.clear();
  result.checkpoint.clear();
  result.files.clear();
  return result;
}

}  // namespace

RunResult train(const TrainRequest& request) {
  RunConfig config = RunConfig::parse(request.config.root);
  if (config.run_type.train) {
    config.warn_of_no_effect(request.config.root);
    if (config.training.fast_dev_run > 0) return rehearse(request, std::move(config));
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
