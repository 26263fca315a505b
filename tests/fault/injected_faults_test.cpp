// SPDX-License-Identifier: BSD-3-Clause
// Each operation of the system that a save makes fails, one after the other, alone and with all
// that come after it. In every case the newest checkpoint that was promised is there and whole, the
// save says which path could not be written, and the next one works and tidies up.
#include "fault/faulty_ops.h"
#include "host/checkpoint/store.h"
#include "host/support/log.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host::fault_test {
namespace {

namespace fs = std::filesystem;
using checkpoint_test::content_at;
using checkpoint_test::memory_or_disk;
using checkpoint_test::names_in;
using checkpoint_test::same_content;
using checkpoint_test::TempFolder;
using testing::HasSubstr;

constexpr std::int64_t kKept = 2;
constexpr int kMostOperations = 500;  // of a save; it ends the search for one that passes

// A save, from the state of the run that it finds.
struct Operation {
  const char* name;
  std::function<void(const CheckpointStore&)> prepare;
  std::function<void(const CheckpointStore&)> save;
  // The updates whose checkpoint may be the one that is resumed: before, and once it is saved.
  std::optional<std::int64_t> before;
  std::int64_t after;
};

void save_both(const CheckpointStore& store, std::int64_t update) {
  store.save_last(content_at(update));
  store.save_update(update);
}

void save_ranked(const CheckpointStore& store, std::int64_t update,
                 const std::vector<std::int64_t>& ranks) {
  store.save_last(content_at(update));
  store.arrange_best(ranks);
}

const std::vector<Operation>& operations() {
  static const std::vector<Operation> kAll = {
      {"first", [](const auto&) {}, [](const auto& store) { store.save_last(content_at(2)); },
       std::nullopt, 2},
      {"last", [](const auto& store) { store.save_last(content_at(1)); },
       [](const auto& store) { store.save_last(content_at(2)); }, 1, 2},
      {"best",
       [](const auto& store) {
         store.save_last(content_at(1));
         store.save_best();
         store.save_last(content_at(2));
       },
       [](const auto& store) { store.save_best(); }, 2, 2},
      {"ranks",
       [](const auto& store) {
         save_ranked(store, 1, {CheckpointStore::kFromLast});
         save_ranked(store, 2, {CheckpointStore::kFromLast, 1});
         store.save_last(content_at(3));
       },
       [](const auto& store) {
         store.arrange_best({CheckpointStore::kFromLast, 1});
       },
       3, 3},
      {"update",
       [](const auto& store) {
         save_both(store, 1);
         save_both(store, 2);
         store.save_last(content_at(3));
       },
       [](const auto& store) { store.save_update(3); }, 3, 3},
  };
  return kAll;
}

struct SweepCase {
  std::size_t operation;
  bool allow_exchange;
};

class InjectedFaultsTest : public testing::TestWithParam<SweepCase> {
 protected:
  // Each failure is a warning in the log, thousands in all.
  void SetUp() override { init_log(LogLevel::kError); }
  void TearDown() override { init_log(LogLevel::kInfo); }

  [[nodiscard]] static const Operation& operation() { return operations()[GetParam().operation]; }
  [[nodiscard]] static CheckpointStore store_of(const TempFolder& run) {
    return CheckpointStore(run.path(), kKept, {{}, GetParam().allow_exchange});
  }

  // Has the 1st, 2nd, 3rd, ... operation fail, until a save has none left that could.
  void sweep(Fault fault, Lasting lasting) const {
    int nth = 1;
    while (nth < kMostOperations && fails_at(nth, fault, lasting)) ++nth;
    EXPECT_GT(nth, 10) << "so few operations that the seam cannot be in use";
    EXPECT_LT(nth, kMostOperations);
  }

 private:
  // False when the save has no nth operation.
  [[nodiscard]] bool fails_at(int nth, Fault fault, Lasting lasting) const {
    SCOPED_TRACE(concat("operation ", nth, ", fault ", static_cast<int>(fault), ", lasting ",
                        static_cast<int>(lasting)));
    const TempFolder run(memory_or_disk());
    const CheckpointStore store = store_of(run);
    operation().prepare(store);
    FileOps system;
    FaultyOps faulty(system, fault, lasting, nth);
    std::string message;
    {
      const ScopedFileOps scope(faulty);
      try {
        operation().save(store);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
        message = error.what();
        EXPECT_THAT(message, HasSubstr(run.path().string()));
      }
    }
    const bool survivable = fault == Fault::kInterrupted || fault == Fault::kShortWrite;
    if (survivable || !faulty.reached()) {
      EXPECT_EQ(message, "");
    }
    check(run, message.empty());
    check_next_save(run);
    return faulty.reached() && !HasFailure();
  }

  // What is there after a save that returned, or did not.
  static void check(const TempFolder& run, bool saved) {
    const CheckpointStore store = store_of(run);
    if (fs::exists(run / "checkpoints")) {
      for (const auto& name : names_in(run / "checkpoints")) {
        if (name.front() == '.') continue;
        EXPECT_EQ(verify_checkpoint(run / "checkpoints" / name).first_problem(), "");
      }
    }
    const auto point = store.find_resume();
    if (!point) {
      EXPECT_FALSE(saved || operation().before);
      return;
    }
    EXPECT_TRUE(point->failures.empty());
    const bool is_new = same_content(point->content, content_at(operation().after));
    EXPECT_TRUE(is_new || !saved);
    EXPECT_TRUE(is_new || same_content(point->content, content_at(operation().before.value_or(2))));
    check_other_names(store, saved);
  }

  static void check_other_names(const CheckpointStore& store, bool saved) {
    const std::string name = operation().name;
    if (name == "best") {
      const CheckpointContent best = load_checkpoint(store.best());
      EXPECT_TRUE(same_content(best, content_at(2)) ||
                  (!saved && same_content(best, content_at(1))));
    } else if (name == "ranks") {
      const CheckpointContent best = load_checkpoint(store.best());
      const CheckpointContent second = load_checkpoint(store.best(2));
      EXPECT_TRUE(same_content(best, content_at(3)) ||
                  (!saved && same_content(best, content_at(2))));
      // The one that stays has a name at every time.
      EXPECT_TRUE(same_content(second, content_at(2)) ||
                  (!saved && same_content(best, content_at(2))));
    } else if (name == "update") {
      EXPECT_TRUE(fs::exists(store.update(2)));
      if (!saved) return;
      EXPECT_TRUE(fs::exists(store.update(3)));
      EXPECT_TRUE(same_content(load_checkpoint(store.update(3)), content_at(3)));
    }
  }

  static void check_next_save(const TempFolder& run) {
    const CheckpointStore store = store_of(run);
    save_both(store, 9);
    store.save_best();
    EXPECT_TRUE(same_content(store.find_resume()->content, content_at(9)));
    EXPECT_TRUE(same_content(load_checkpoint(store.best()), content_at(9)));
    for (const auto& name : names_in(run / "checkpoints")) EXPECT_NE(name.front(), '.') << name;
    EXPECT_LE(store.updates().size(), static_cast<std::size_t>(kKept));
  }
};

TEST_P(InjectedFaultsTest, AnyOperationThatFailsLeavesWhatWasPromised) {
  for (const Fault fault : {Fault::kNoSpace, Fault::kBadDisk}) {
    for (const Lasting lasting : {Lasting::kOnce, Lasting::kForGood}) sweep(fault, lasting);
  }
}

TEST_P(InjectedFaultsTest, SignalsAndShortWritesEndNoSave) {
  sweep(Fault::kInterrupted, Lasting::kOnce);
  sweep(Fault::kShortWrite, Lasting::kOnce);
  sweep(Fault::kShortWrite, Lasting::kForGood);
}

std::string case_name(const testing::TestParamInfo<SweepCase>& info) {
  return std::string(operations()[info.param.operation].name) +
         (info.param.allow_exchange ? "_exchanged" : "_moved_aside");
}

INSTANTIATE_TEST_SUITE_P(Operations, InjectedFaultsTest,
                         testing::Values(SweepCase{0, true}, SweepCase{1, true},
                                         SweepCase{1, false}, SweepCase{2, true},
                                         SweepCase{3, true}, SweepCase{3, false},
                                         SweepCase{4, true}),
                         case_name);

}  // namespace
}  // namespace pergola::host::fault_test
