// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/run_folder.h"

#include "fixtures/temp_folder.h"
#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class RunFolderTest : public ::testing::Test {
 protected:
  void make_run() {
    { const RunFolder folder(path_, ExistingRun::kRefuse); }
    fs::create_directories(path_ / "checkpoints/last");
    for (const char* name : {"metrics.jsonl", "config.toml", "log.txt", "notes.txt"}) {
      std::ofstream(path_ / name) << "x";
    }
  }
  void write(const char* name, const char* text) const { std::ofstream(path_ / name) << text; }
  [[nodiscard]] std::string content(const char* name) const {
    return read_file(path_ / name, ErrorKind::kData);
  }
  std::string error_of(ExistingRun existing) {
    try {
      const RunFolder folder(path_, existing);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      return error.what();
    }
    return "(no error)";
  }

  fixtures::TempFolder temp_;
  fs::path path_ = temp_.path() / "a" / "run";
};

TEST_F(RunFolderTest, IsMadeWithItsParents) {
  const RunFolder folder(path_, ExistingRun::kRefuse);
  EXPECT_TRUE(fs::is_directory(path_));
  EXPECT_FALSE(folder.holds_run());
}

TEST_F(RunFolderTest, ARunIsRefusedUnlessAsked) {
  make_run();
  EXPECT_THAT(
      error_of(ExistingRun::kRefuse),
      HasSubstr("already holds a run; continue it with --resume, start again with --overwrite"));
  EXPECT_EQ(error_of(ExistingRun::kResume), "(no error)");
  EXPECT_EQ(error_of(ExistingRun::kOverwrite), "(no error)");
  EXPECT_TRUE(fs::exists(path_ / "metrics.jsonl"));  // opening alone removes nothing
}

TEST_F(RunFolderTest, SetAsideMovesTheRunAndNothingElse) {
  make_run();
  const RunFolder folder(path_, ExistingRun::kOverwrite);
  folder.set_aside();
  EXPECT_FALSE(folder.holds_run());
  EXPECT_FALSE(fs::exists(path_ / "config.toml"));
  EXPECT_TRUE(fs::exists(path_ / "notes.txt"));
  EXPECT_TRUE(fs::exists(path_ / "log.txt"));
  folder.remove_replaced();
  EXPECT_FALSE(fs::exists(folder.replaced()));
  EXPECT_FALSE(folder.put_back());
}

TEST_F(RunFolderTest, ThatTheOldRunIsRemovedIsSaidOnce) {
  make_run();
  const RunFolder folder(path_, ExistingRun::kOverwrite);
  folder.set_aside();
  ::testing::internal::CaptureStderr();
  folder.remove_replaced();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("[run] the run that was overwritten is removed"));
  ::testing::internal::CaptureStderr();
  folder.remove_replaced();
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(RunFolderTest, OverwriteDoesNotReplaceALink) {
  make_run();
  fs::create_directories(temp_ / "disk");
  fs::rename(path_ / "checkpoints", temp_ / "disk/checkpoints");
  fs::create_symlink("../../disk/checkpoints", path_ / "checkpoints");
  EXPECT_EQ(
      error_of(ExistingRun::kOverwrite),
      "--overwrite does not replace " + (path_ / "checkpoints").string() +
          ", which is a symbolic link to ../../disk/checkpoints; remove the link, and what it "
          "leads to if that is not needed, or choose another folder with --run-dir");
  EXPECT_EQ(error_of(ExistingRun::kResume), "(no error)");
  EXPECT_TRUE(fs::exists(path_ / "checkpoints/last"));
}

TEST_F(RunFolderTest, AFolderWithPredictionsAloneMayBecomeARuns) {
  RunFolder::mark_if_empty(path_);
  fs::create_directories(path_ / "predictions");
  RunFolder::mark_if_empty(path_);
  EXPECT_EQ(error_of(ExistingRun::kRefuse), "(no error)");
  const RunFolder folder(path_, ExistingRun::kRefuse);
  RunFolder::mark_if_empty(path_);  // as beside a training
}

TEST_F(RunFolderTest, AFolderThatIsNoRunsIsNotMarked) {
  fs::create_directories(path_ / "predictions");
  RunFolder::mark_if_empty(path_);
  EXPECT_FALSE(fs::exists(path_ / ".lock"));
  EXPECT_THAT(error_of(ExistingRun::kRefuse), HasSubstr("does not say that it is a run's"));
}

// Such as one that was copied without it.
TEST_F(RunFolderTest, ARunWithoutAMarkGetsItWhenItWasResumed) {
  make_run();
  fs::remove(path_ / ".lock");
  EXPECT_EQ(error_of(ExistingRun::kResume), "(no error)");  // opening alone does not mark it
  EXPECT_THAT(error_of(ExistingRun::kOverwrite), HasSubstr("does not say that it is a run's"));
  RunFolder(path_, ExistingRun::kResume).mark();
  EXPECT_EQ(error_of(ExistingRun::kOverwrite), "(no error)");
}

TEST_F(RunFolderTest, PutBackReplacesWhatTheNewRunWrote) {
  make_run();
  const RunFolder folder(path_, ExistingRun::kOverwrite);
  folder.set_aside();
  std::ofstream(path_ / "metrics.jsonl") << "new";
  EXPECT_TRUE(folder.put_back());
  EXPECT_EQ(read_file(path_ / "metrics.jsonl", ErrorKind::kData), "x");
  EXPECT_TRUE(fs::exists(path_ / "checkpoints/last"));
  EXPECT_FALSE(fs::exists(folder.replaced()));
}

TEST_F(RunFolderTest, AfterACrashTheRunThatHasACheckpointIsKept) {
  make_run();
  { RunFolder(path_, ExistingRun::kOverwrite).set_aside(); }
  write("metrics.jsonl", "new");
  ::testing::internal::CaptureStderr();
  EXPECT_THAT(error_of(ExistingRun::kRefuse), HasSubstr("already holds a run"));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("the run that was to be overwritten is back"));
  EXPECT_EQ(content("metrics.jsonl"), "x");
  { RunFolder(path_, ExistingRun::kOverwrite).set_aside(); }
  write("metrics.jsonl", "new");
  fs::create_directories(path_ / "checkpoints/last");
  EXPECT_THAT(error_of(ExistingRun::kRefuse), HasSubstr("already holds a run"));
  EXPECT_EQ(content("metrics.jsonl"), "new");
  EXPECT_FALSE(fs::exists(path_ / ".replaced"));
}

// The save worked, and what came after it did not.
TEST_F(RunFolderTest, ANewRunWithACheckpointIsNotPutBack) {
  make_run();
  const RunFolder folder(path_, ExistingRun::kOverwrite);
  folder.set_aside();
  fs::create_directories(path_ / "checkpoints/last");
  write("checkpoints/last/model", "new");
  EXPECT_FALSE(folder.put_back());
  EXPECT_EQ(content("checkpoints/last/model"), "new");
}

TEST_F(RunFolderTest, WhatTheOldRunDidNotHaveGoesWhenItComesBack) {
  make_run();
  fs::remove(path_ / "metrics.jsonl");
  const RunFolder folder(path_, ExistingRun::kOverwrite);
  folder.set_aside();
  write("metrics.jsonl", "new");
  EXPECT_TRUE(folder.put_back());
  EXPECT_FALSE(fs::exists(path_ / "metrics.jsonl"));
}

struct Crash {};

// A process that dies at any step of either move loses nothing.
TEST_F(RunFolderTest, ACrashBetweenTwoMovesLosesNothing) {
  make_run();
  write("checkpoints/last/model", "old");
  for (int steps = 1; steps <= 10; ++steps) {  // five moves away, and five back
    int left = steps;
    const RunFolder::StepHook die = [&] {
      if (--left == 0) throw Crash();
    };
    try {
      const RunFolder folder(path_, ExistingRun::kOverwrite);
      folder.set_aside(die);
      write("metrics.jsonl", "new");
      folder.put_back(die);
    } catch (const Crash&) {
    }
    EXPECT_EQ(error_of(ExistingRun::kResume), "(no error)");
    EXPECT_EQ(content("checkpoints/last/model"), "old") << steps;
    for (const char* name : {"metrics.jsonl", "config.toml"})
      EXPECT_EQ(content(name), "x") << steps;
    EXPECT_FALSE(fs::exists(path_ / "summary.json"));
    EXPECT_FALSE(fs::exists(path_ / ".replaced"));
  }
}

TEST_F(RunFolderTest, WhatIsInAFolderThatIsNoRunsIsNotOverwritten) {
  fs::create_directories(path_ / "checkpoints");
  std::ofstream(path_ / "config.toml") << "theirs";
  for (const ExistingRun existing : {ExistingRun::kOverwrite, ExistingRun::kRefuse}) {
    static_cast<void>(error_of(existing));  // refused, and it does not make the folder ours
    EXPECT_THAT(error_of(ExistingRun::kOverwrite),
                HasSubstr("checkpoints, but the folder's .lock does not say that it is a run's"));
  }
}

TEST_F(RunFolderTest, ARunThatNeverBeganIsNoObstacle) {
  { const RunFolder folder(path_, ExistingRun::kRefuse); }
  std::ofstream(path_ / "log.txt") << "x";
  std::ofstream(path_ / "summary.json") << "{}";
  EXPECT_EQ(error_of(ExistingRun::kRefuse), "(no error)");
}

TEST_F(RunFolderTest, TwoProcessesCannotHaveOneFolder) {
  const RunFolder folder(path_, ExistingRun::kRefuse);
  EXPECT_THAT(error_of(ExistingRun::kRefuse), HasSubstr("is in use by another pergola process"));
}

TEST_F(RunFolderTest, AFileInTheWayIsSaid) {
  std::ofstream(temp_.path() / "a") << "x";
  EXPECT_THAT(error_of(ExistingRun::kRefuse), HasSubstr("Not a directory"));
}

}  // namespace
}  // namespace pergola::host
