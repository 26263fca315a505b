// SPDX-License-Identifier: BSD-3-Clause
// All that trains a session's model: batches, optimizer, schedule, averaged weights, trainer and
// callbacks, made as the config says. Borrows the session; main thread.
#pragma once

#include "host/callbacks/checkpoint_callback.h"
#include "host/callbacks/logging_callback.h"
#include "host/callbacks/progress_callback.h"
#include "host/callbacks/tensorboard_callback.h"
#include "host/checkpoint/store.h"
#include "host/data/batch_source.h"
#include "host/model/freeze.h"
#include "host/run/session.h"
#include "host/train/trainer.h"
#include "host/train/weight_average.h"
#include "pergola/optimizer.h"
#include "pergola/scheduler.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace pergola::host {

// Does what training.recompute says. Throws Error{kConfig} for a model that cannot.
void enable_recompute(BaseModel& model, const RunConfig& config);

class Training {
 public:
  // Freezes parameters and builds the rest, for a run in `run_dir`. `root` is the whole config.
  // `updates`: makes so many of them, however many the config says, without validation and log
  // lines. Throws Error for what does not go together.
  // REQUIRES: the session's model is built and has the weights to begin with.
  Training(Session& session, const Config& root, std::int64_t seed, std::filesystem::path run_dir,
           std::optional<std::int64_t> updates = {});
  // Drops the session's recordings: the next training may need their memory.
  ~Training();
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  // One batch of the validation, or training.num_sanity_val_steps, with the rows of its predictions
  // where these are wanted: what does not fit the data, or has a wrong name, is to be known before
  // the first epoch and not after it. Training draws the
  // same random numbers as without it.
  void try_validation();

  // Where the callbacks of a run write.
  struct Outputs {
    const CheckpointStore& store;
    std::filesystem::path metrics_file;
    Value identity;      // into every checkpoint
    const Config& root;  // for TensorBoard's HParams
    bool progress_bar = false;
  };
  // Adds training.callbacks, and then the host's own, in the order of architecture.md.
  void add_callbacks(const Outputs& outputs);
  // Looks at some updates as `profile` says, and writes `trace`. Throws Error{kConfig} where that
  // cannot be.
  // REQUIRES: before any other callback is added, so that it sees what they do.
  void add_profile(const ProfileConfig& profile, std::filesystem::path trace);
  // The first of these alone: those that change updates, and not those that write about them.
  void add_step_callbacks();

  // Evaluates a split after training, with the hooks of a test.
  [[nodiscard]] Session::Evaluation evaluate(const std::string& split,
                                             const std::filesystem::path& predictions);

  [[nodiscard]] Trainer& trainer() noexcept { return *trainer_; }
  [[nodiscard]] const Trainer& trainer() const noexcept { return *trainer_; }
  [[nodiscard]] Optimizer& optimizer() noexcept { return *optimizer_; }
  [[nodiscard]] BatchSource& batches() noexcept { return *batches_; }
  // REQUIRES of both: add_callbacks() was called.
  [[nodiscard]] LoggingCallback& logging() noexcept { return *logging_; }
  [[nodiscard]] CheckpointCallback& checkpoint() noexcept { return *checkpoint_; }
  // The best validation whose checkpoint is there; of update -1 where there is none.
  // REQUIRES: training has ended, or not begun.
  [[nodiscard]] BestResult best() const {
    return checkpoint_ == nullptr ? BestResult() : checkpoint_->saved_best();
  }

 private:
  [[nodiscard]] const TrainingConfig& config() const { return session_.config().training; }
  [[nodiscard]] std::int64_t updates_per_epoch() const;
  [[nodiscard]] TrainerOptions options() const;
  [[nodiscard]] Numbers validate(std::int64_t max_batches, const EvaluationHooks& hooks,
                                 const BatchVisitor& visit = {});
  [[nodiscard]] EvaluationHooks validation_hooks();
  [[nodiscard]] EvaluationHooks test_hooks();
  void build_optimizer(const Config& root, std::int64_t max_updates);
  [[nodiscard]] std::int64_t count_batches(const std::string& split);
  void add_guards();
  void add_logs(const Outputs& outputs);
  template <class Made, class... Arguments>
  Made& add(const char* key, Arguments&&... arguments);

  Session& session_;
  // In the order in which they are built: the trainer dies first.
  std::unique_ptr<BatchSource> batches_;
  std::optional<FreezeSchedule> freeze_schedule_;  // until its callback takes it
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<WeightAverage> average_;
  std::optional<Trainer> trainer_;
  LoggingCallback* logging_ = nullptr;          // the trainer's, as are the next
  ProgressCallback* progress_ = nullptr;        // null: no bar
  TensorBoardCallback* tensorboard_ = nullptr;  // null: none
  CheckpointCallback* checkpoint_ = nullptr;
};

}  // namespace pergola::host
