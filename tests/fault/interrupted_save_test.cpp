// SPDX-License-Identifier: BSD-3-Clause
// Saves that end in the middle: killed after each step, and thrown out of each step. What was there
// before, or what was being saved, is whole afterwards in every case.
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/store.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>
#include <vector>

namespace pergola::host::checkpoint_test {
namespace {

using testing::Contains;

constexpr std::int64_t kKept = 2;

struct Stopped : std::exception {};

// A save, from the state of the run that it finds.
struct Operation {
  const char* name;
  std::function<void(const CheckpointStore&)> prepare;
  std::function<void(const CheckpointStore&)> save;
};

void save_both(const CheckpointStore& store, std::int64_t update) {
  store.save_last(content_at(update));
  store.save_update(update);
}

const std::vector<Operation>& operations() {
  static const std::vector<Operation> all = {
      {"first", [](const auto&) {}, [](const auto& store) { store.save_last(content_at(2)); }},
      {"last", [](const auto& store) { store.save_last(content_at(1)); },
       [](const auto& store) { store.save_last(content_at(2)); }},
      {"best",
       [](const auto& store) {
         store.save_last(content_at(1));
         store.save_best();
         store.save_last(content_at(2));
       },
       [](const auto& store) { store.save_best(); }},
      {"update",
       [](const auto& store) {
         save_both(store, 1);
         save_both(store, 2);
         store.save_last(content_at(3));
       },
       [](const auto& store) { store.save_update(3); }},
  };
  return all;
}

struct SweepCase {
  std::size_t operation;
  bool allow_exchange;
};

class InterruptedSaveTest : public testing::TestWithParam<SweepCase> {
 protected:
  [[nodiscard]] const Operation& operation() const { return operations()[GetParam().operation]; }
  [[nodiscard]] SaveHooks hooks(std::function<void(std::string_view)> on_step = {}) const {
    return {std::move(on_step), GetParam().allow_exchange};
  }
  [[nodiscard]] static CheckpointStore plain_store(const fs::path& run) {
    return CheckpointStore(run, kKept);
  }

  // The steps of the operation, from a save that is left alone.
  [[nodiscard]] std::vector<std::string> steps() const {
    const TempFolder run(memory_or_disk());
    operation().prepare(plain_store(run.path()));
    std::vector<std::string> seen;
    operation().save(CheckpointStore(
        run.path(), kKept, hooks([&](std::string_view step) { seen.emplace_back(step); })));
    return seen;
  }

  // Saves in `run`; `stop` is called after the step with this index.
  void save_until(const fs::path& run, std::size_t stop_at,
                  const std::function<void()>& stop) const {
    std::size_t index = 0;
    operation().save(CheckpointStore(run, kKept, hooks([&](std::string_view) {
                                       if (index++ == stop_at) stop();
                                     })));
  }

  // Nothing that carries a checkpoint's name is broken, and the run goes on from `last` or says
  // that there is none; `saved`: the new folder was in place.
  void check_run(const fs::path& run, bool saved) const {
    const CheckpointStore store = plain_store(run);
    for (const auto& name : names_in(run / "checkpoints")) {
      if (name.front() == '.') continue;
      EXPECT_EQ(verify_checkpoint(run / "checkpoints" / name).first_problem(), "");
    }
    check_result(store, saved);
    store.save_last(content_at(9));
    for (const auto& name : names_in(run / "checkpoints")) EXPECT_NE(name.front(), '.') << name;
    EXPECT_TRUE(same_content(store.find_resume()->content, content_at(9)));
  }

  void check_result(const CheckpointStore& store, bool saved) const {
    const std::string name = operation().name;
    const auto point = store.find_resume();
    if (name == "first" && !saved) {
      EXPECT_FALSE(point.has_value());
      return;
    }
    ASSERT_TRUE(point.has_value());
    EXPECT_TRUE(point->failures.empty());
    if (name == "first" || name == "last") {
      EXPECT_TRUE(same_content(point->content, content_at(saved ? 2 : 1)));
    } else if (name == "best") {
      EXPECT_TRUE(same_content(load_checkpoint(store.best()), content_at(saved ? 2 : 1)));
    } else {
      EXPECT_EQ(fs::exists(store.update(3)), saved);
      EXPECT_TRUE(fs::exists(store.update(2)));
    }
  }
};

TEST_P(InterruptedSaveTest, AKillAfterAnyStepLeavesAWholeCheckpoint) {
  const auto all = steps();
  ASSERT_THAT(all, Contains("folder in place"));
  bool saved = false;
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(all[i]);
    saved |= all[i] == "folder in place";
    const TempFolder run(memory_or_disk());
    operation().prepare(plain_store(run.path()));
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      save_until(run.path(), i, [] { ::kill(::getpid(), SIGKILL); });
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    check_run(run.path(), saved);
  }
}

TEST_P(InterruptedSaveTest, AnErrorInAnyStepLeavesAWholeCheckpoint) {
  const auto all = steps();
  bool saved = false;
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(all[i]);
    saved |= all[i] == "folder in place";
    const TempFolder run(memory_or_disk());
    operation().prepare(plain_store(run.path()));
    EXPECT_THROW(save_until(run.path(), i, [] { throw Stopped(); }), Stopped);
    check_run(run.path(), saved);
  }
}

TEST_P(InterruptedSaveTest, NothingIsInPlaceBeforeItIsOnTheDisk) {
  // The manifest is the last file, and nothing is removed before the new folder's place is synced.
  const auto all = steps();
  const auto at = [&](const std::string& step) {
    const auto it = std::find(all.begin(), all.end(), step);
    EXPECT_NE(it, all.end()) << step;
    return it - all.begin();
  };
  const bool written =
      std::string(operation().name) == "first" || std::string(operation().name) == "last";
  const std::string done = written ? " synced" : " linked";
  for (const char* file : {kModelFile, kTrainerFile, kStateFile}) {
    EXPECT_LT(at(file + done), at(kManifestFile + (written ? std::string(" written") : done)));
  }
  EXPECT_LT(at(kManifestFile + done), at("folder synced"));
  EXPECT_LT(at("folder synced"), at("folder in place"));
  EXPECT_LT(at("folder in place"), at("place synced"));
  EXPECT_LT(at("place synced"), at("old folder removed"));
}

std::string case_name(const testing::TestParamInfo<SweepCase>& info) {
  return std::string(operations()[info.param.operation].name) +
         (info.param.allow_exchange ? "_exchanged" : "_moved_aside");
}

INSTANTIATE_TEST_SUITE_P(Operations, InterruptedSaveTest,
                         testing::Values(SweepCase{0, true}, SweepCase{1, true},
                                         SweepCase{1, false}, SweepCase{2, true},
                                         SweepCase{2, false}, SweepCase{3, true}),
                         case_name);

}  // namespace
}  // namespace pergola::host::checkpoint_test
