// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/checkpoint_callback.h"

#include "unit/callbacks/checkpoint_run.h"
#include "unit/support/non_finite.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using test::kInf;
using test::kNan;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// With saves in place, and in the background.
class CheckpointCallbackTest : public CheckpointRunTest,
                               public ::testing::WithParamInterface<bool> {
 protected:
  CheckpointCallbackTest() { config_.checkpoint.save_in_background = GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(Saves, CheckpointCallbackTest, ::testing::Bool(), [](const auto& mode) {
  return mode.param ? "InTheBackground" : "InPlace";
});

TEST_P(CheckpointCallbackTest, BestIsOfTheBestValidation) {
  EXPECT_EQ(run(6).update, 4);
  EXPECT_EQ(update_of("best"), 4);
  EXPECT_EQ(update_of("last"), 6);
}

// A save at update n links update_n first, and then, at the second time, best.
TEST_P(CheckpointCallbackTest, FirstBestThatAKillCutOffIsMadeUpFor) {
  ASSERT_TRUE(run_killed_at(2, "MANIFEST.json linked", 3));  // update_1, update_2, best
  ASSERT_EQ(update_of("last"), 2);
  ASSERT_EQ(update_of("best"), -1);
  EXPECT_EQ(run(2, /*resume=*/true).update, 2);
  EXPECT_EQ(update_of("best"), 2);
}

TEST_P(CheckpointCallbackTest, LaterBestThatAKillCutOffIsMadeUpFor) {
  ASSERT_TRUE(run_killed_at(6, "MANIFEST.json linked", 6));  // 1, 2, best; 3, 4, best
  ASSERT_EQ(update_of("last"), 4);
  ASSERT_EQ(update_of("best"), 2);
  EXPECT_EQ(run(6, /*resume=*/true).update, 4);
  EXPECT_EQ(update_of("best"), 4);
}

// update_1, update_2 and best; update_3.
TEST_P(CheckpointCallbackTest, UpdateThatAKillCutOffIsMadeUpFor) {
  ASSERT_TRUE(run_killed_at(3, "MANIFEST.json linked", 4));
  ASSERT_EQ(update_of("last"), 3);
  ASSERT_EQ(update_of("update_00000003"), -1);
  static_cast<void>(run(4, /*resume=*/true));
  EXPECT_THAT(names(), ElementsAre("best", "last", "update_00000001", "update_00000002",
                                   "update_00000003", "update_00000004"));
  EXPECT_EQ(update_of("update_00000003"), 3);
}

// With an interval in seconds, the state alone says that it was due.
TEST_P(CheckpointCallbackTest, UpdateOfAnIntervalInSecondsIsMadeUpForToo) {
  config_.training.checkpoint_interval = {1e-9, Duration::Unit::kSeconds};
  ASSERT_TRUE(run_killed_at(1, "MANIFEST.json linked", 1));
  config_.training.checkpoint_interval = {1e6, Duration::Unit::kSeconds};
  static_cast<void>(run(3, /*resume=*/true));
  EXPECT_THAT(names(), ElementsAre("best", "last", "update_00000001"));
}

// Folders are put in place in the order last, update_1, last, update_2; then update_1 goes.
TEST_P(CheckpointCallbackTest, OlderUpdateThatAKillKeptIsRemoved) {
  retention_.max_to_keep = 1;
  ASSERT_TRUE(run_killed_at(2, "old folder removed", 4));
  ASSERT_THAT(names(), ElementsAre("last", "update_00000001", "update_00000002"));
  static_cast<void>(run(2, /*resume=*/true));
  EXPECT_THAT(names(), ElementsAre("best", "last", "update_00000002"));
}

TEST_P(CheckpointCallbackTest, OnlyAnUpdateThatWasDueIsMadeUpFor) {
  config_.training.checkpoint_interval = {2, Duration::Unit::kUpdates};
  for (const std::int64_t end : {0, 3}) {
    static_cast<void>(run(end, /*resume=*/end > 0));
    static_cast<void>(run(end, /*resume=*/true));
    EXPECT_EQ(update_of("last"), end);
    EXPECT_EQ(update_of(end == 0 ? "update_00000000" : "update_00000003"), -1);
  }
  retention_.max_to_keep = 0;
  static_cast<void>(run(4, /*resume=*/true));
  static_cast<void>(run(4, /*resume=*/true));
  EXPECT_EQ(update_of("update_00000004"), -1);
}

// What passed before counts: as it does for a job that is stopped more often than it would save.
TEST_P(CheckpointCallbackTest, SecondsOfAnIntervalGoOnInAResumedRun) {
  config_.training.checkpoint_interval = {3600, Duration::Unit::kSeconds};
  on_validate_ = [] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); };
  static_cast<void>(run(2));
  const Value state = load_checkpoint(checkpoint("last")).state;
  const Value* const passed = state.find("callbacks.checkpoint.interval_seconds");
  ASSERT_NE(passed, nullptr);
  EXPECT_GE(passed->as_float(), 0.05);
  config_.training.checkpoint_interval.amount = 0.05;
  on_validate_ = {};
  static_cast<void>(run(3, /*resume=*/true));
  EXPECT_TRUE(names().contains("update_00000003"));
}

TEST_P(CheckpointCallbackTest, BestOfARunThatIsResumedElsewhereStays) {
  static_cast<void>(run(4));
  const auto written = fs::last_write_time(folder_.path() / "checkpoints/best");
  static_cast<void>(run(6, /*resume=*/true));
  EXPECT_EQ(fs::last_write_time(folder_.path() / "checkpoints/best"), written);
}

TEST_P(CheckpointCallbackTest, DamagedBestIsSavedAgainFromTheSameUpdate) {
  static_cast<void>(run(4));
  const fs::path file = folder_.path() / "checkpoints/best/state.json";
  fs::remove(file);
  static_cast<void>(run(6, /*resume=*/true));
  EXPECT_EQ(update_of("best"), 4);
}

// `last` and update_4 are lost, and so update_3 is resumed, whose best is of update 2.
TEST_P(CheckpointCallbackTest, BestThatIsNewerThanWhatIsResumedCounts) {
  static_cast<void>(run(4));
  for (const char* name : {"last", "update_00000004"}) {
    fs::remove_all(folder_.path() / "checkpoints" / name);
  }
  const auto written = fs::last_write_time(folder_.path() / "checkpoints/best");
  values_ = {{4, 0.45}, {6, 0.4}};  // better than update 2, not than the 0.3 of the old update 4
  EXPECT_EQ(run(6, /*resume=*/true), (BestResult{4, 0.3}));
  EXPECT_EQ(fs::last_write_time(folder_.path() / "checkpoints/best"), written);
}

TEST_P(CheckpointCallbackTest, NumberThatIsNoneMakesNoBestAndIsToldOnce) {
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

TEST_P(CheckpointCallbackTest, NumberThatIsNoneIsPassedOver) {
  values_ = {{2, -kInf}, {4, 0.3}, {6, kNan}};
  const auto [best, log] = run_and_listen();
  EXPECT_EQ(best, (BestResult{4, 0.3}));
  EXPECT_EQ(update_of("best"), 4);
  EXPECT_THAT(log, Not(HasSubstr("no best checkpoint:")));
}

TEST_P(CheckpointCallbackTest, ValidationWithoutNumbersMakesNoBest) {
  measures_ = false;
  const auto [best, log] = run_and_listen();
  EXPECT_EQ(best.update, -1);
  EXPECT_EQ(update_of("last"), 6);
  EXPECT_THAT(log, Not(HasSubstr("warning")));
  EXPECT_THAT(log, HasSubstr("[checkpoint] there is no best checkpoint: "));
}

TEST_P(CheckpointCallbackTest, MonitoredNumberThatIsMissingIsAConfigError) {
  config_.training.monitor.criteria = "val/boring/own";
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

TEST_P(CheckpointCallbackTest, IntervalsAreUpdatesOrEpochsOrSeconds) {
  config_.training.checkpoint_interval = {1, Duration::Unit::kEpochs};
  static_cast<void>(run(5));
  EXPECT_THAT(names(), ElementsAre("best", "last", "update_00000002", "update_00000004"));
  fs::remove_all(checkpoint(""));
  config_.training.checkpoint_interval = {1e-9, Duration::Unit::kSeconds};
  static_cast<void>(run(2));
  EXPECT_THAT(names(), ElementsAre("best", "last", "update_00000001", "update_00000002"));
  fs::remove_all(checkpoint(""));
  config_.training.checkpoint_interval = {1e6, Duration::Unit::kSeconds};
  static_cast<void>(run(2));
  EXPECT_THAT(names(), ElementsAre("best", "last"));
}

TEST_P(CheckpointCallbackTest, AnErrorOfASaveEndsTheRunAsItself) {
  SaveHooks hooks;
  int saves = 0;
  hooks.on_step = [&](std::string_view step) {
    if (step == "model.safetensors written" && ++saves == 2) {
      throw Error(ErrorKind::kCheckpoint, "the disk is full");
    }
  };
  try {
    static_cast<void>(run(6, /*resume=*/false, hooks));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
    EXPECT_STREQ(error.what(), "the disk is full");
  }
  EXPECT_THAT(names(), ElementsAre("last", "update_00000001"));
  EXPECT_EQ(update_of("last"), 1);
}

// The one save of this run is that of the best, at update 2.
TEST_P(CheckpointCallbackTest, AnErrorOfASaveIsHeardOfBeforeTheEnd) {
  constexpr std::int64_t kUpdates = 20'000;
  values_ = {{2, 0.5}};
  config_.training.checkpoint_interval = {0, Duration::Unit::kUpdates};
  SaveHooks hooks;
  hooks.on_step = [](std::string_view) { throw Error(ErrorKind::kCheckpoint, "the disk is full"); };
  EXPECT_THROW(static_cast<void>(run(kUpdates, /*resume=*/false, hooks)), Error);
  EXPECT_LT(updates_, kUpdates);
}

// Of the last save nobody but the end of the training can hear.
TEST_P(CheckpointCallbackTest, TheRunEndsWhenAllIsOnTheDisk) {
  SaveHooks slow;
  slow.on_step = [](std::string_view step) {
    if (step == "folder made") std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  config_.training.checkpoint_interval = {5, Duration::Unit::kUpdates};
  static_cast<void>(run(6, /*resume=*/false, slow));
  EXPECT_THAT(names(), ElementsAre("best", "last", "update_00000005"));
  EXPECT_EQ(update_of("last"), 6);
  EXPECT_EQ(update_of("update_00000005"), 5);
}

TEST(CheckpointCallbackModes, BothSaveTheSameBytes) {
  class Runs : public CheckpointRunTest {
   public:
    void TestBody() override {}
    // All that is saved but what the clock says.
    std::map<std::string, std::string> contents(bool in_background) {
      config_.checkpoint.save_in_background = in_background;
      SaveHooks slow;
      slow.on_step = [](std::string_view step) {
        if (step == "folder made") std::this_thread::sleep_for(std::chrono::milliseconds(2));
      };
      static_cast<void>(run(6, /*resume=*/false, slow));
      std::map<std::string, std::string> texts;
      for (const std::string& name : names()) {
        Value state = load_checkpoint(checkpoint(name)).state;
        state.as_table().erase("seconds");
        texts[name] = checkpoint_test::read_bytes(checkpoint(name) / "model.safetensors") +
                      checkpoint_test::read_bytes(checkpoint(name) / "trainer.safetensors") +
                      to_string(state);
      }
      return texts;
    }
  };
  EXPECT_EQ(Runs().contents(true), Runs().contents(false));
}

// Its state is one large tensor of the number of its steps: to copy it takes many times as long as
// an update.
class CountingOptimizer final : public Optimizer {
 public:
  explicit CountingOptimizer(BaseModel& model)
      : Optimizer({{{"first.weight"}, {model.parameters().at(0)}}}, {0.1}) {}
  void step() override { steps_.add_(1); }
  [[nodiscard]] std::map<std::string, at::Tensor> state_dict() const override {
    return {{"steps", steps_}};
  }
  void load_state_dict(const std::map<std::string, at::Tensor>& /*state*/) override {}

 private:
  at::Tensor steps_ = at::zeros({std::int64_t{4} << 20});
};

class SlowCopyTest : public CheckpointRunTest {
 protected:
  std::unique_ptr<Optimizer> make_optimizer(const Registry& /*registry*/,
                                            BaseModel& model) override {
    return std::make_unique<CountingOptimizer>(model);
  }
};

TEST_F(SlowCopyTest, NoStepChangesWhatIsBeingCopied) {
  static_cast<void>(run(5));
  for (std::int64_t update = 1; update <= 5; ++update) {
    const CheckpointStore store(folder_.path());
    const CheckpointContent saved = load_checkpoint(store.update(update));
    const auto steps = std::ranges::find(saved.trainer, "optimizer/steps",
                                         [](const auto& named) { return named.first; });
    ASSERT_NE(steps, saved.trainer.end());
    EXPECT_TRUE((steps->second == static_cast<double>(update)).all().item<bool>()) << update;
  }
}

}  // namespace
}  // namespace pergola::host
