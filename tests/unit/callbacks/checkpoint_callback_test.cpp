// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/checkpoint_callback.h"

#include "fixtures/temp_folder.h"
#include "host/model/builder.h"
#include "host/support/log.h"
#include "host/support/signals.h"
#include "unit/train/boring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Runs of two updates an epoch, whose validations have the values that a test chooses: at updates
// 2, 4 and 6.
class CheckpointCallbackTest : public ::testing::Test {
 protected:
  CheckpointCallbackTest() { note_stop_signals(); }
  void TearDown() override { set_log_sink(nullptr); }

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
    options.exit_on_nan_losses = false;
    Trainer* running = nullptr;
    const auto validate = [&] {
      Numbers numbers;
      if (measures_) numbers["val/total_loss"] = values_.at(running->state().progress.update);
      return numbers;
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
  // The same of a run to update 6, and what it says on stderr.
  std::pair<BestResult, std::string> run_and_listen() {
    init_log(LogLevel::kInfo);
    ::testing::internal::CaptureStderr();
    const BestResult best = run(6);
    return {best, ::testing::internal::GetCapturedStderr()};
  }

  std::string criteria_ = "val/total_loss";
  bool measures_ = true;
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

TEST_F(CheckpointCallbackTest, NumberThatIsNoneMakesNoBestAndIsToldOnce) {
  for (const double number : {kNan, kInf, -kInf}) {
    values_ = {{2, number}, {4, number}, {6, number}};
    const auto [best, log] = run_and_listen();
    EXPECT_EQ(best.update, -1);
    EXPECT_EQ(update_of("best"), -1);
    EXPECT_EQ(update_of("last"), 6);
    EXPECT_THAT(log, HasSubstr(concat("warning: [checkpoint] val/total_loss is ", number,
                                      " in the validation at update 2, which makes no best "
                                      "checkpoint; let training.early_stop.criteria name another "
                                      "number of the validation\n")));
    EXPECT_EQ(log.find("warning"), log.rfind("warning"));
    EXPECT_THAT(log, HasSubstr("[checkpoint] there is no best checkpoint: no validation had a "
                               "finite val/total_loss; the last one, of update 6, is used in its "
                               "place\n"));
  }
}

TEST_F(CheckpointCallbackTest, NumberThatIsNoneIsPassedOver) {
  values_ = {{2, -kInf}, {4, 0.3}, {6, kNan}};
  const auto [best, log] = run_and_listen();
  EXPECT_EQ(best, (BestResult{4, 0.3}));
  EXPECT_EQ(update_of("best"), 4);
  EXPECT_THAT(log, Not(HasSubstr("no best checkpoint:")));
}

TEST_F(CheckpointCallbackTest, ValidationWithoutNumbersMakesNoBest) {
  measures_ = false;
  const auto [best, log] = run_and_listen();
  EXPECT_EQ(best.update, -1);
  EXPECT_EQ(update_of("last"), 6);
  EXPECT_THAT(log, Not(HasSubstr("warning")));
  EXPECT_THAT(log, HasSubstr("[checkpoint] there is no best checkpoint: "));
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
