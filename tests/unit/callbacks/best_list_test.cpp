// SPDX-License-Identifier: BSD-3-Clause
// The best k checkpoints: their order, and that list and folders agree whatever ends a run.
#include "host/callbacks/best_list.h"

#include "unit/callbacks/checkpoint_run.h"

#include <gmock/gmock.h>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::optional<BestResult> kNothing = std::nullopt;

TEST(BestListTest, ResultsAreInOrderAndThoseBeyondAreDropped) {
  BestList list({"val/loss", /*minimize=*/true}, 2);
  EXPECT_EQ(list.front().update, -1);
  EXPECT_EQ(list.add({1, 0.5}), 1);
  EXPECT_EQ(list.add({2, 0.7}), 2);
  EXPECT_EQ(list.add({3, 0.6}), 2);
  EXPECT_EQ(list.add({4, 0.6}), std::nullopt);  // of equal ones the earlier one
  EXPECT_EQ(list.add({5, 0.1}), 1);
  EXPECT_THAT(list.results(), ElementsAre(BestResult{5, 0.1}, BestResult{1, 0.5}));
}

TEST(BestListTest, LargerIsBetterWhereTheMonitorSaysSo) {
  BestList list({"val/accuracy", /*minimize=*/false}, 3);
  for (const auto& result : {BestResult{1, 0.5}, BestResult{2, 0.7}, BestResult{3, 0.6}}) {
    list.add(result);
  }
  EXPECT_THAT(list.results(),
              ElementsAre(BestResult{2, 0.7}, BestResult{3, 0.6}, BestResult{1, 0.5}));
}

TEST(BestListTest, AnUpdateIsInItOnce) {
  BestList list({"val/loss", /*minimize=*/true}, 3);
  list.add({1, 0.5});
  list.add({2, 0.4});
  EXPECT_EQ(list.add({1, 0.5}), std::nullopt);
  EXPECT_EQ(list.add({1, 0.3}), 1);
  EXPECT_THAT(list.results(), ElementsAre(BestResult{1, 0.3}, BestResult{2, 0.4}));
}

TEST(BestListTest, StateComesBackButForAnotherMonitor) {
  BestList list({"val/loss", /*minimize=*/true}, 3);
  for (const auto& result : {BestResult{1, 0.5}, BestResult{2, 0.7}, BestResult{3, 0.6}}) {
    list.add(result);
  }
  const auto restored = [&](const MonitorConfig& monitor, std::int64_t size) {
    BestList other(monitor, size);
    other.load_state_dict(list.state_dict());
    return other.results();
  };
  EXPECT_EQ(restored({"val/loss", true}, 3), list.results());
  EXPECT_THAT(restored({"val/loss", true}, 1), ElementsAre(BestResult{1, 0.5}));
  EXPECT_THAT(restored({"val/loss", false}, 3), IsEmpty());
  EXPECT_THAT(restored({"val/accuracy", true}, 3), IsEmpty());
}

// As before there were several.
TEST(BestListTest, StateOfOneBestAloneIsRead) {
  BestList list({"val/loss", /*minimize=*/true}, 3);
  list.load_state_dict(Value(Value::Table{{"best_update", 4}, {"best_value", 0.25}}));
  EXPECT_THAT(list.results(), ElementsAre(BestResult{4, 0.25}));
  list.load_state_dict(Value(Value::Table{{"best_update", -1}, {"best_value", 0.0}}));
  EXPECT_THAT(list.results(), IsEmpty());
}

TEST(BestListTest, SourcesAreTheRanksOfNow) {
  const BestResult a{1, 0.1};
  const BestResult b{2, 0.2};
  const BestResult c{3, 0.3};
  EXPECT_THAT(sources_of({b, a, c}, {a, c}), ElementsAre(CheckpointStore::kFromLast, 1, 2));
  EXPECT_THAT(sources_of({a, b}, {kNothing, a, b}), ElementsAre(2, 3));
  EXPECT_THAT(sources_of({a, b}, {a, a, b}), ElementsAre(1, 3));
  EXPECT_THAT(sources_of({a, b, c}, {a, b, b}), ElementsAre(1, 2, CheckpointStore::kFromLast));
  EXPECT_THAT(sources_of({a, b}, {b, b}), ElementsAre(CheckpointStore::kFromLast, 2));
}

// By value the updates are 10, 4, 8, 6, 2.
class KeepBestTest : public CheckpointRunTest {
 protected:
  KeepBestTest() {
    values_ = {{2, 0.5}, {4, 0.3}, {6, 0.4}, {8, 0.35}, {10, 0.2}};
    config_.checkpoint.keep_best = 3;
    config_.training.checkpoint_interval = {0, Duration::Unit::kUpdates};
  }
  [[nodiscard]] bool can_resume() const {
    return CheckpointStore(folder_.path()).find_resume().has_value();
  }
};

TEST_F(KeepBestTest, FoldersAreInTheOrderOfTheValues) {
  const std::pair<std::int64_t, std::vector<std::int64_t>> expected[] = {
      {2, {2}}, {4, {4, 2}}, {6, {4, 6, 2}}, {8, {4, 8, 6}}, {10, {10, 4, 8}}};
  bool resume = false;
  for (const auto& [updates, best] : expected) {
    EXPECT_EQ(run(updates, resume).update, best[0]);
    EXPECT_EQ(best_updates(), best);
    resume = true;
  }
  EXPECT_THAT(names(), ElementsAre("best", "best_2", "best_3", "last"));
}

TEST_F(KeepBestTest, OneRunMakesTheSameAsOneThatIsResumed) {
  const auto [best, log] = run_and_listen(10);
  EXPECT_EQ(best, (BestResult{10, 0.2}));
  EXPECT_THAT(best_updates(), ElementsAre(10, 4, 8));
  EXPECT_THAT(log, HasSubstr("[checkpoint] best so far: val/total_loss 0.3 at update 4\n"));
  EXPECT_THAT(log, HasSubstr("[checkpoint] best_2: val/total_loss 0.35 at update 8\n"));
}

// Wherever a process dies, and however often, the resumed run ends as the one that was left alone.
TEST_F(KeepBestTest, KillsInEachStepAreMadeUpFor) {
  static_cast<void>(run(10));
  const Value expected = best_;
  for (const char* step : {"MANIFEST.json written", "MANIFEST.json linked", "folder in place"}) {
    for (int count = 1;; ++count) {
      SCOPED_TRACE(concat(step, " ", count));
      std::filesystem::remove_all(checkpoint(""));
      if (!run_killed_at(10, step, count)) break;
      // A second kill, now of what puts the folders right.
      if (run_killed_at(10, "folder in place", 1, can_resume())) {
        static_cast<void>(run(10, can_resume()));
      }
      EXPECT_EQ(best_, expected);
      EXPECT_THAT(best_updates(), ElementsAre(10, 4, 8));
    }
  }
}

TEST_F(KeepBestTest, ADamagedOneIsLeftOutAndTheOthersMoveUp) {
  static_cast<void>(run(10));
  std::filesystem::remove(checkpoint("best_2") / "state.json");
  values_[12] = 0.6;
  const auto [best, log] = run_and_listen(12, /*resume=*/true);
  EXPECT_EQ(best.update, 10);
  EXPECT_THAT(best_updates(), ElementsAre(10, 8, 12));
  EXPECT_THAT(log, HasSubstr("the best ones in the run's folder are of updates 10, 8, in the "
                             "checkpoint that was resumed they are of 10, 4, 8; those in the "
                             "folder are kept"));
}

TEST_F(KeepBestTest, TheNextOneTakesThePlaceOfABestThatIsGone) {
  static_cast<void>(run(10));
  std::filesystem::remove_all(checkpoint("best"));
  std::filesystem::remove_all(checkpoint("last"));
  values_[12] = 0.6;
  // Nothing is left to resume from but what the test keeps.
  std::filesystem::copy(checkpoint("best_3"), checkpoint("last"),
                        std::filesystem::copy_options::recursive);  // of update 8
  values_[10] = 0.7;
  EXPECT_EQ(run(12, /*resume=*/true).update, 4);
  EXPECT_THAT(best_updates(), ElementsAre(4, 8, 12));
}

TEST_F(KeepBestTest, FewerAreKeptWhenLessAreAskedFor) {
  static_cast<void>(run(8));
  config_.checkpoint.keep_best = 1;
  const auto [best, log] = run_and_listen(10, /*resume=*/true);
  EXPECT_THAT(names(), ElementsAre("best", "last"));
  EXPECT_THAT(best_updates(), ElementsAre(10));
  EXPECT_THAT(log, Not(HasSubstr("warning")));
}

TEST_F(KeepBestTest, OnesOfAnotherMonitorDoNotCount) {
  static_cast<void>(run(4));
  config_.training.monitor.minimize = false;
  const auto [best, log] = run_and_listen(6, /*resume=*/true);
  EXPECT_EQ(best, (BestResult{6, 0.4}));
  EXPECT_THAT(best_updates(), ElementsAre(6));
  EXPECT_THAT(log, HasSubstr("[checkpoint] the best so far, of update 4, is by another "
                             "training.early_stop.criteria or minimize; it does not count\n"));
}

}  // namespace
}  // namespace pergola::host
