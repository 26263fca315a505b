// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/checkpoint_callback.h"

#include "fixtures/temp_folder.h"
#include "host/model/builder.h"
#include "host/support/signals.h"
#include "unit/train/boring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <stdexcept>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// Runs of two updates an epoch, whose validations have the values that a test chooses: at updates
// 2, 4 and 6.
class CheckpointCallbackTest : public ::testing::Test {
 protected:
  CheckpointCallbackTest() { note_stop_signals(); }

  // What a run leaves that ends, resumed or not, at `max_updates`; its best value so far.
  BestResult run(std::int64_t max_updates, bool resume = false, const SaveHooks& hooks = {}) {
    const CheckpointStore store(folder_.path(), /*max_to_keep=*/-1, hooks);
    const Registry registry = builtin_registry();
    const std::shared_ptr<BoringModel> model = make_boring_model(registry);
    const BoringDataset data(8);
    LoaderOptions loader_options;
    loader_options.dataset_name = "boring";
    loader_options.dataset_type = "train";
    loader_options.batch_size = 4;
    DataLoader loader(data, loader_options);
    const std::unique_ptr<Optimizer> optimizer = build_optimizer(
        registry, *model,
        Config(Value::Table{{"type", "sgd"}, {"params", Value::Table{{"lr", 0.1}}}}));
    TrainerOptions options;
    options.max_updates = max_updates;
    Trainer* running = nullptr;
    const auto validate = [&] {
      return Numbers{{"val/total_loss", values_.at(running->state().progress.update)}};
    };
    Trainer trainer(
        TrainerParts{*model, *optimizer, nullptr, loader, validate, c10::Device(c10::kCPU)},
        options, TrainerState());
    running = &trainer;
    TrainingConfig config;
    config.checkpoint_interval = 1;
    config.monitor.criteria = criteria_;
    auto callback =
        std::make_unique<CheckpointCallback>(trainer, store, config, Value(Value::Table{}));
    CheckpointCallback& checkpoint = *callback;
    trainer.add_callback("checkpoint", std::move(callback));
    if (resume) {
      const std::optional<ResumePoint> point = store.find_resume();
      trainer.restore(point.value().content);
      if (point->folder == store.last()) checkpoint.set_resumed_from_last();
    }
    static_cast<void>(trainer.run());
    return checkpoint.best();
  }

  // The same, but the process dies at the `count`-th time that a save comes to `step`.
  void run_killed_at(std::int64_t max_updates, const std::string& step, int count) {
    SaveHooks hooks;
    hooks.on_step = [&](std::string_view reached) {
      if (reached == step && --count == 0) throw std::runtime_error("killed");
    };
    EXPECT_THROW(static_cast<void>(run(max_updates, /*resume=*/false, hooks)), std::exception);
  }

  [[nodiscard]] std::int64_t update_of(const std::string& name) const {
    const fs::path folder = folder_.path() / "checkpoints" / name;
    if (!fs::exists(folder)) return -1;
    return load_checkpoint(folder).state.find("progress.update")->as_integer();
  }

  fixtures::TempFolder folder_;
  std::string criteria_ = "val/total_loss";
  std::map<std::int64_t, double> values_ = {{2, 0.5}, {4, 0.3}, {6, 0.4}};
};

TEST_F(CheckpointCallbackTest, BestIsOfTheBestValidation) {
  EXPECT_EQ(run(6).update, 4);
  EXPECT_EQ(update_of("best"), 4);
  EXPECT_EQ(update_of("last"), 6);
}

// A save at update n links update_n first, and then, at the second time, best.
TEST_F(CheckpointCallbackTest, FirstBestThatAKillCutOffIsMadeUpFor) {
  run_killed_at(2, "MANIFEST.json linked", 3);  // update_1, update_2, best
  ASSERT_EQ(update_of("last"), 2);
  ASSERT_EQ(update_of("best"), -1);
  EXPECT_EQ(run(2, /*resume=*/true).update, 2);
  EXPECT_EQ(update_of("best"), 2);
}

TEST_F(CheckpointCallbackTest, LaterBestThatAKillCutOffIsMadeUpFor) {
  run_killed_at(6, "MANIFEST.json linked", 6);  // 1, 2, best; 3, 4, best
  ASSERT_EQ(update_of("last"), 4);
  ASSERT_EQ(update_of("best"), 2);
  EXPECT_EQ(run(6, /*resume=*/true).update, 4);
  EXPECT_EQ(update_of("best"), 4);
}

TEST_F(CheckpointCallbackTest, BestOfARunThatIsResumedElsewhereStays) {
  static_cast<void>(run(4));
  const auto written = fs::last_write_time(folder_.path() / "checkpoints/best");
  static_cast<void>(run(6, /*resume=*/true));
  EXPECT_EQ(fs::last_write_time(folder_.path() / "checkpoints/best"), written);
}

TEST_F(CheckpointCallbackTest, DamagedBestIsSavedAgainFromTheSameUpdate) {
  static_cast<void>(run(4));
  const fs::path file = folder_.path() / "checkpoints/best/state.json";
  fs::remove(file);
  static_cast<void>(run(6, /*resume=*/true));
  EXPECT_EQ(update_of("best"), 4);
}

// `last` and update_4 are lost, and so update_3 is resumed, whose best is of update 2.
TEST_F(CheckpointCallbackTest, BestThatIsNewerThanWhatIsResumedCounts) {
  static_cast<void>(run(4));
  for (const char* name : {"last", "update_00000004"}) {
    fs::remove_all(folder_.path() / "checkpoints" / name);
  }
  const auto written = fs::last_write_time(folder_.path() / "checkpoints/best");
  values_ = {{4, 0.45}, {6, 0.4}};  // better than update 2, not than the 0.3 of the old update 4
  EXPECT_EQ(run(6, /*resume=*/true), (BestResult{4, 0.3}));
  EXPECT_EQ(fs::last_write_time(folder_.path() / "checkpoints/best"), written);
}

TEST_F(CheckpointCallbackTest, MonitoredNumberThatIsMissingIsAConfigError) {
  criteria_ = "val/boring/own";
  try {
    static_cast<void>(run(2));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_STREQ(error.what(),
                 "training.early_stop.criteria asks for val/boring/own, which the validation does "
                 "not have; known is val/total_loss");
  }
}

}  // namespace
}  // namespace pergola::host
