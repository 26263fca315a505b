// SPDX-License-Identifier: BSD-3-Clause
// The numbers of MMF's test_checkpoint.py (MMF.md §12.4): what a trainer has that takes a
// checkpoint of update 2000, whose best is that of update 1000, both of epoch 3, whole or with a
// reset.
#include "host/callbacks/checkpoint_callback.h"
#include "unit/checkpoint/checkpoint_test_kit.h"
#include "unit/train/numbers_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using testing::ElementsAre;

// Adam of 0.1 and multi_step at 10 and 20, as there.
class MmfCheckpointNumbersTest : public testing::Test {
 protected:
  struct Counts {
    std::int64_t update;
    std::int64_t samples;  // MMF's iterations: a batch has one
    std::int64_t epoch;
    [[nodiscard]] bool operator==(const Counts&) const = default;
  };

  MmfCheckpointNumbersTest() {
    config_.training.monitor.criteria = "val/total_loss";
    const CheckpointStore store = open_store();
    const CheckpointContent content = content_of_a_run();
    store.save_last(at_update(content, 1000));
    store.save_best();
    store.save_last(at_update(content, 2000));
  }

  [[nodiscard]] CheckpointStore open_store(std::int64_t max_to_keep = 5) const {
    return CheckpointStore(folder_.path(), max_to_keep);
  }
  static std::unique_ptr<NumbersRun> new_run() {
    return std::make_unique<NumbersRun>(
        100, 1, updates(3000), "adam", Value::Table{{"lr", 0.1}},
        NumbersSchedule{"multi_step", {{"lr_steps", Value::Array{10, 20}}}});
  }
  // A trainer that has taken the checkpoint in `folder`, but for `reset`.
  NumbersRun& restored(const std::filesystem::path& folder, const ResetConfig& reset = {}) {
    run_ = new_run();
    Trainer& trainer = *run_->trainer;
    auto checkpoint =
        std::make_unique<CheckpointCallback>(trainer, open_store(), config_, Value(Value::Table{}));
    checkpoint_ = checkpoint.get();
    trainer.add_callback("checkpoint", std::move(checkpoint));
    trainer.restore(load_checkpoint(folder), reset);
    return *run_;
  }
  static Counts counts(const NumbersRun& run) {
    const Progress& progress = run.trainer->state().progress;
    return {progress.update, progress.samples_seen, progress.epoch};
  }
  static bool has_optimizer_state(const NumbersRun& run) {
    return !run.trainer->optimizer().state_dict().empty();
  }

  fixtures::TempFolder folder_{checkpoint_test::memory_or_disk()};
  RunConfig config_;
  std::unique_ptr<NumbersRun> run_;
  CheckpointCallback* checkpoint_ = nullptr;  // of run_

 private:
  // With the state that an optimizer has after an update.
  static CheckpointContent content_of_a_run() {
    NumbersRun run(100, 1, updates(1), "adam", Value::Table{{"lr", 0.1}});
    run.run();
    return run.trainer->content();
  }
  [[nodiscard]] CheckpointContent at_update(CheckpointContent content, std::int64_t update) const {
    Value& progress = content.state["progress"];
    progress["update"] = update;
    progress["samples_seen"] = update;
    progress["epoch"] = 3;
    progress["batch_in_epoch"] = 0;
    BestList best(config_.training.monitor, /*size=*/1);
    best.add({1000, 0.5});
    content.state["callbacks"]["checkpoint"] = best.state_dict();
    return content;
  }
};

TEST_F(MmfCheckpointNumbersTest, ResumeIsAtUpdateTwoThousandOfEpochThree) {
  const NumbersRun& run = restored(open_store().last());
  EXPECT_EQ(counts(run), (Counts{2000, 2000, 3}));
  EXPECT_TRUE(has_optimizer_state(run));
  EXPECT_EQ(checkpoint_->best(), (BestResult{1000, 0.5}));
}

TEST_F(MmfCheckpointNumbersTest, ResetOfTheOptimizerLeavesTheCounts) {
  const NumbersRun& run = restored(open_store().last(), {.optimizer = true});
  EXPECT_EQ(counts(run), (Counts{2000, 2000, 3}));
  EXPECT_FALSE(has_optimizer_state(run));
  EXPECT_EQ(checkpoint_->best().update, 1000);
}

// MMF has 0, 0 and 2 here: its reset leaves the epoch as the trainer has it, which in its test had
// gone on to the second. Ours is one of the counts, and all of them begin at nought: the order of
// an epoch's samples is a function of its number.
TEST_F(MmfCheckpointNumbersTest, ResetOfTheCountsBeginsAtUpdateAndEpochNought) {
  const NumbersRun& run = restored(open_store().last(), {.counts = true});
  EXPECT_EQ(counts(run), (Counts{0, 0, 0}));
  EXPECT_TRUE(has_optimizer_state(run));
  EXPECT_EQ(checkpoint_->best(), BestResult());
}

// MMF's epoch stays the trainer's, 4; ours is nought, for the same reason.
TEST_F(MmfCheckpointNumbersTest, ResetOfAllBeginsAtUpdateAndEpochNought) {
  const NumbersRun& run = restored(open_store().last(), {.all = true});
  EXPECT_EQ(counts(run), (Counts{0, 0, 0}));
  EXPECT_FALSE(has_optimizer_state(run));
  EXPECT_EQ(checkpoint_->best(), BestResult());
}

// checkpoint.resume_best.
TEST_F(MmfCheckpointNumbersTest, TheBestIsAtUpdateAThousandOfEpochThree) {
  const NumbersRun& run = restored(open_store().best());
  EXPECT_EQ(counts(run), (Counts{1000, 1000, 3}));
  EXPECT_TRUE(has_optimizer_state(run));
  EXPECT_EQ(checkpoint_->best(), (BestResult{1000, 0.5}));
}

TEST_F(MmfCheckpointNumbersTest, OfSevenCheckpointsTheNewestFiveStay) {
  const CheckpointStore store = open_store();
  const CheckpointContent content = load_checkpoint(store.last());
  for (std::int64_t update = 1000; update <= 7000; update += 1000) {
    store.save_last(content);
    store.save_update(update);
  }
  EXPECT_THAT(store.names(), ElementsAre("best", "last", "update_00003000", "update_00004000",
                                         "update_00005000", "update_00006000", "update_00007000"));
}

}  // namespace
}  // namespace pergola::host
