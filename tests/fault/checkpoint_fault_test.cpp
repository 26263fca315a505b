// SPDX-License-Identifier: BSD-3-Clause
// Saves that end in the middle: killed after each step, thrown out of each step, and refused by the
// system. What was there before, or what was being saved, is whole afterwards in every case.
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/safetensors.h"
#include "host/checkpoint/store.h"
#include "host/support/files.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace pergola::host::checkpoint_test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

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
    const TempFolder run(fs::temp_directory_path());
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
    const TempFolder run(fs::temp_directory_path());
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
    const TempFolder run(fs::temp_directory_path());
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

// Limits the size of files for a while, which makes writes fail in the middle as a full disk does.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit old_{};
  void (*handler_)(int);
};

class RefusedSaveTest : public testing::Test {
 protected:
  TempFolder run_{fs::temp_directory_path()};
  CheckpointStore store_{run_.path()};
};

TEST_F(RefusedSaveTest, AWriteThatFailsAnywhereLeavesTheOldCheckpointAndNothingElse) {
  constexpr std::int64_t kWidth = 20'000;  // 2 rows of floats: 160,000 bytes of weights
  store_.save_last(content_at(1));
  for (const rlim_t limit : {0, 1, 100, 4096, 100'000, 160'000}) {
    std::string message;
    {
      const FileSizeLimit full(limit);
      message = error_of([&] { store_.save_last(content_at(2, kWidth)); });
    }
    EXPECT_THAT(message, AllOf(HasSubstr("cannot write"), HasSubstr("File too large"))) << limit;
    EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(1))) << limit;
    EXPECT_THAT(names_in(run_ / "checkpoints"), ElementsAre("last")) << limit;
  }
  store_.save_last(content_at(2, kWidth));
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(2, kWidth)));
}

TEST_F(RefusedSaveTest, AFullDiskIsNamedWithTheNextStep) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  EXPECT_EQ(error_of([&] { stream_safetensors(full.get(), content_at(1).model, {}, "run/model"); }),
            "cannot write run/model: No space left on device; free some space there, or choose "
            "another folder");
}

TEST_F(RefusedSaveTest, TooLittleSpaceIsToldBeforeAnythingIsWritten) {
  store_.save_last(content_at(1));
  CheckpointContent huge = content_at(2);
  // One float in memory, 2^52 bytes on the disk: more than any file system that tests run on.
  huge.model.emplace_back("huge", at::zeros({1}).expand({std::int64_t{1} << 50}));
  EXPECT_THAT(error_of([&] { store_.save_last(huge); }),
              AllOf(HasSubstr("cannot save the checkpoint " + store_.last().string() +
                              ": it needs 45035996"),  // 2^52 = 4,503,599,627,370,496 and a little
                    HasSubstr("are free; free some space there")));
  EXPECT_THAT(names_in(run_ / "checkpoints"), ElementsAre("last"));
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(1)));
}

TEST_F(RefusedSaveTest, AFolderThatCannotComeToItsPlaceLetsTheOldOneBack) {
  // Without exchange, and the new folder is gone when it is to be put in place of the old one.
  store_.save_last(content_at(1));
  SaveHooks hooks{{}, /*allow_exchange=*/false};
  hooks.on_step = [this](std::string_view step) {
    if (step != "old folder moved aside") return;
    fs::remove_all(run_ / concat("checkpoints/.tmp-last-", ::getpid()));
  };
  const CheckpointStore store(run_.path(), kKept, hooks);
  EXPECT_THAT(error_of([&] { store.save_last(content_at(2)); }),
              HasSubstr("cannot put the checkpoint at " + store_.last().string()));
  EXPECT_THAT(names_in(run_ / "checkpoints"), ElementsAre("last"));
  EXPECT_TRUE(same_content(load_checkpoint(store_.last()), content_at(1)));
}

TEST_F(RefusedSaveTest, ARunFolderBelowAFileIsAnError) {
  write_bytes(run_ / "file", "text");
  const CheckpointStore store(run_ / "file");
  EXPECT_THAT(error_of([&] { store.save_last(content_at(1)); }), HasSubstr("Not a directory"));
}

// Takes the right to write to `folder` away for a while; root gives up being root for that.
class NoWritePermission {
 public:
  explicit NoWritePermission(fs::path folder) : folder_(std::move(folder)) {
    constexpr uid_t kNobody = 65534;
    fs::permissions(folder_, fs::perms(0555));
    active_ = ::geteuid() != 0 || ::seteuid(kNobody) == 0;
  }
  NoWritePermission(const NoWritePermission&) = delete;
  NoWritePermission& operator=(const NoWritePermission&) = delete;
  ~NoWritePermission() {
    if (::geteuid() != ::getuid() && ::seteuid(::getuid()) != 0) std::abort();
    fs::permissions(folder_, fs::perms(0755));
  }
  [[nodiscard]] bool active() const { return active_; }

 private:
  fs::path folder_;
  bool active_ = false;
};

TEST_F(RefusedSaveTest, AFolderWithoutWritePermissionIsAnErrorThatChangesNothing) {
  fs::permissions(run_.path(), fs::perms(0755));  // so that another user may look into it
  store_.save_last(content_at(1));
  {
    const NoWritePermission guard(run_ / "checkpoints");
    if (!guard.active()) GTEST_SKIP() << "this root cannot become another user";
    EXPECT_THAT(error_of([&] { store_.save_last(content_at(2)); }),
                AllOf(HasSubstr("checkpoints/.tmp-last"), HasSubstr("Permission denied"),
                      HasSubstr("check its permissions")));
  }
  EXPECT_TRUE(same_content(store_.find_resume()->content, content_at(1)));
  EXPECT_THAT(names_in(run_ / "checkpoints"), ElementsAre("last"));
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
