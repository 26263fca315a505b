// SPDX-License-Identifier: BSD-3-Clause
// Runs whose validations have the values that a test chooses, and what they leave on the disk.
#pragma once

#include "host/callbacks/checkpoint_callback.h"
#include "host/callbacks/early_stop_callback.h"
#include "host/data/loader.h"
#include "host/model/builder.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "unit/checkpoint/checkpoint_test_kit.h"
#include "unit/train/boring.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {

// Two updates an epoch, a validation after each epoch: at updates 2, 4, 6, ...
class CheckpointRunTest : public ::testing::Test {
 protected:
  CheckpointRunTest() {
    note_stop_signals();
    at::set_num_threads(1);  // threads that wait for each other help no tensor of this size
    config_.training.checkpoint_interval = {1, Duration::Unit::kUpdates};
    config_.training.monitor.criteria = "val/total_loss";
  }
  ~CheckpointRunTest() override { set_log_sink(nullptr); }

  // What a run leaves that ends, resumed or not, at `max_updates`; its best value so far.
  BestResult run(std::int64_t max_updates, bool resume = false, const SaveHooks& hooks = {}) {
    const CheckpointStore store(folder_.path(), retention_, hooks);
    const Registry registry = builtin_registry();
    const std::shared_ptr<BoringModel> model = make_boring_model(registry);
    const BoringDataset data(8);
    LoaderOptions loader_options;
    loader_options.dataset_name = "boring";
    loader_options.dataset_type = "train";
    loader_options.batch_size = 4;
    DataLoader loader(data, loader_options);
    const std::unique_ptr<Optimizer> optimizer = make_optimizer(registry, *model);
    TrainerOptions options;
    options.max_updates = max_updates;
    options.exit_on_nan_losses = false;
    Trainer* running = nullptr;
    const auto validate = [&] {
      updates_ = running->state().progress.update;
      if (on_validate_) on_validate_();
      Numbers numbers;
      if (measures_) numbers["val/total_loss"] = values_.contains(updates_) ? values_[updates_] : 1;
      return numbers;
    };
    Trainer trainer(
        TrainerParts{*model, *optimizer, nullptr, loader, validate, c10::Device(c10::kCPU)},
        options, TrainerState());
    running = &trainer;
    CheckpointCallback& checkpoint = add_callbacks(trainer, store);
    if (resume) {
      const std::optional<ResumePoint> point = store.find_resume();
      static_cast<void>(trainer.restore(point.value().content));
      if (point->folder == store.last()) checkpoint.set_resumed_from_last();
    }
    static_cast<void>(trainer.run());
    updates_ = trainer.state().progress.update;
    best_ = checkpoint.state_dict();
    return checkpoint.best();
  }

  // The same, but the process dies at the `count`-th time that a save comes to `step`. False when
  // it does not come there so often.
  bool run_killed_at(std::int64_t max_updates, const std::string& step, int count,
                     bool resume = false) {
    SaveHooks hooks;
    hooks.on_step = [&](std::string_view reached) {
      if (reached == step && --count == 0) throw std::runtime_error("killed");
    };
    try {
      static_cast<void>(run(max_updates, resume, hooks));
      return false;
    } catch (const std::runtime_error&) {
      return true;
    }
  }

  // The same of a run to update 6, and what it says on stderr.
  std::pair<BestResult, std::string> run_and_listen(std::int64_t max_updates = 6,
                                                    bool resume = false) {
    init_log(LogLevel::kInfo);
    ::testing::internal::CaptureStderr();
    const BestResult best = run(max_updates, resume);
    return {best, ::testing::internal::GetCapturedStderr()};
  }

  [[nodiscard]] std::filesystem::path checkpoint(const std::string& name) const {
    return folder_.path() / "checkpoints" / name;
  }
  // -1 when it is not there.
  [[nodiscard]] std::int64_t update_of(const std::string& name) const {
    if (!std::filesystem::exists(checkpoint(name))) return -1;
    return load_checkpoint(checkpoint(name)).state.find("progress.update")->as_integer();
  }
  // Of best, best_2, ... as far as there are some.
  [[nodiscard]] std::vector<std::int64_t> best_updates() const {
    std::vector<std::int64_t> updates;
    const CheckpointStore store(folder_.path());
    for (std::int64_t rank = 1; std::filesystem::exists(store.best(rank)); ++rank) {
      updates.push_back(update_of(store.best(rank).filename()));
    }
    return updates;
  }
  [[nodiscard]] std::set<std::string> names() const {
    return checkpoint_test::names_in(folder_.path() / "checkpoints");
  }

  virtual std::unique_ptr<Optimizer> make_optimizer(const Registry& registry, BaseModel& model) {
    return build_optimizer(
        registry, model,
        Config(Value::Table{{"type", "adamw"}, {"params", Value::Table{{"lr", 0.1}}}}));
  }

  fixtures::TempFolder folder_{checkpoint_test::memory_or_disk()};
  RunConfig config_;
  Retention retention_;
  std::optional<std::int64_t> patience_;  // without one there is no early stopping
  bool measures_ = true;
  std::function<void()> on_validate_;
  std::map<std::int64_t, double> values_ = {{2, 0.5}, {4, 0.3}, {6, 0.4}};  // of others it is 1
  std::int64_t updates_ = 0;  // of the run that ended last; by its validations, when it failed
  Value best_;                // what that run knew of its best ones

 private:
  CheckpointCallback& add_callbacks(Trainer& trainer, const CheckpointStore& store) const {
    auto callback = std::make_unique<CheckpointCallback>(trainer, store, config_,
                                                         Value(Value::Table{{"model", "boring"}}));
    CheckpointCallback& checkpoint = *callback;
    if (patience_) {
      trainer.add_callback("early_stop",
                           std::make_unique<EarlyStopCallback>(checkpoint, *patience_));
    }
    trainer.add_callback("checkpoint", std::move(callback));
    return checkpoint;
  }
};

}  // namespace pergola::host
