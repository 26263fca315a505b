// SPDX-License-Identifier: BSD-3-Clause
// The power goes before each operation of a run's saves. The checkpoints that were promised are
// there and whole.
#include "fault/power_cut_fixture.h"

#include <algorithm>
#include <stdexcept>

namespace pergola::host::fault_test {
namespace {

enum class Replacing { kExchange, kMoveAside };

// Both ways to put a folder in the place of another one.
class PowerCutInSavesTest : public PowerCutTest, public testing::WithParamInterface<Replacing> {
 protected:
  [[nodiscard]] static CheckpointStore store_of(const fs::path& run) {
    return CheckpointStore(run, /*max_to_keep=*/1, {{}, GetParam() == Replacing::kExchange});
  }

  // The number of the operation that has a save of `last` fail when the new one is there already.
  [[nodiscard]] static int fault_that_leaves_a_new_last_unsure() {
    for (int nth = 1;; ++nth) {
      const TempFolder run(memory_or_disk());
      const CheckpointStore store = store_of(run.path());
      store.save_last(content_at(1));
      FileOps system;
      bool threw = false;
      const bool reached = save_with_fault(system, Lasting::kOnce, nth, [&] {
        threw = true;
        store.save_last(content_at(2));
        threw = false;
      });
      const bool is_new = same_content(load_checkpoint(store.last()), content_at(2));
      if (threw && is_new) return nth;
      if (!reached) throw std::logic_error("no operation of a save leaves that");
    }
  }
};

std::string replacing_name(const testing::TestParamInfo<Replacing>& info) {
  return info.param == Replacing::kExchange ? "exchanged" : "moved_aside";
}

INSTANTIATE_TEST_SUITE_P(Replacing, PowerCutInSavesTest,
                         testing::Values(Replacing::kExchange, Replacing::kMoveAside),
                         replacing_name);

// The updates whose checkpoints are the best ones of a run.
std::set<std::int64_t> best_in(const CheckpointStore& store) {
  std::set<std::int64_t> updates;
  for (const std::int64_t rank : {1, 2}) {
    if (!find_folder(store.best(rank))) continue;
    const Value state = load_checkpoint(store.best(rank), CheckpointParts::kState).state;
    updates.insert(state.find("progress.update")->as_integer());
  }
  return updates;
}

TEST_P(PowerCutInSavesTest, NoCutLosesACheckpointThatWasPromised) {
  PowerCutDisk disk(run_.path());
  const ScopedFileOps scope(disk);
  const CheckpointStore store = store_of(run_.path());
  std::set<std::int64_t> best;  // what is kept as such all the time
  std::int64_t newest = 0;      // of update_*; 0: none
  watch(disk, [&](const fs::path& run) {
    static_cast<void>(check_run(run));
    const CheckpointStore left(run);
    const auto found = best_in(left);
    EXPECT_TRUE(std::ranges::includes(found, best));
    EXPECT_TRUE(best.empty() || find_folder(left.best()));
    EXPECT_TRUE(newest == 0 || !left.updates().empty());
    EXPECT_TRUE(newest == 0 || newest != promised_ || fs::exists(left.update(newest)));
  });
  for (const std::int64_t update : {1, 2, 3}) {
    save_last(store, update);
    store.save_update(update);
    newest = update;
    ++stage_;
    // The two best ones, and each is better than all before it.
    if (update > 1) best = {update - 1};
    store.arrange_best(update == 1 ? std::vector{CheckpointStore::kFromLast}
                                   : std::vector{CheckpointStore::kFromLast, std::int64_t{1}});
    best.insert(update);
    ++stage_;
  }
  look(disk);
  EXPECT_GT(states(), 100U);
}

// Once, so that the save tidies up after itself; and for good, as when it is killed.
TEST_P(PowerCutInSavesTest, NoCutLosesACheckpointWhenASaveFailsAnywhereOrTheOneBefore) {
  for (const Lasting lasting : {Lasting::kOnce, Lasting::kForGood}) {
    bool failed = true;
    for (int nth = 1; failed && !HasFailure(); ++nth) {
      const TempFolder run(memory_or_disk());
      const CheckpointStore store = store_of(run.path());
      store.save_last(content_at(1));
      store.save_update(1);
      begin(/*promised=*/1);
      PowerCutDisk disk(run.path());
      watch_run(disk);
      failed = save_with_fault(disk, lasting, nth, [&] {
        save_last(store, 2);
        store.save_update(2);
      });
      const ScopedFileOps scope(disk);
      save_last(store, 3);
      store.save_update(3);
      look(disk);
    }
  }
  EXPECT_GT(states(), 100U);
}

// The save before had put its checkpoint in place and could not make sure of that: on the disk, the
// one that it has replaced may still be `last`, and what tidies up must not touch it.
TEST_P(PowerCutInSavesTest, NoCutLosesACheckpointWhenTidyingUpFailsAnywhere) {
  const int unsure = fault_that_leaves_a_new_last_unsure();
  bool failed = true;
  for (int nth = 1; failed && !HasFailure(); ++nth) {
    const TempFolder run(memory_or_disk());
    const CheckpointStore store = store_of(run.path());
    store.save_last(content_at(1));
    begin(/*promised=*/1);
    PowerCutDisk disk(run.path());
    watch_run(disk);
    ASSERT_TRUE(save_with_fault(disk, Lasting::kOnce, unsure, [&] { save_last(store, 2); }));
    failed = save_with_fault(disk, Lasting::kOnce, nth, [&] { save_last(store, 3); });
    look(disk);
  }
}

TEST_F(PowerCutTest, AFirstSaveThatFailedAnywhereIsMadeUpFor) {
  bool failed = true;
  for (int nth = 1; failed && !HasFailure(); ++nth) {
    const TempFolder run(memory_or_disk());
    const CheckpointStore store(run.path());
    begin(/*promised=*/std::nullopt);
    PowerCutDisk disk(run.path());
    watch_run(disk);
    failed = save_with_fault(disk, Lasting::kForGood, nth, [&] { save_last(store, 2); });
    const ScopedFileOps scope(disk);
    save_last(store, 3);
    look(disk);
  }
}

}  // namespace
}  // namespace pergola::host::fault_test
