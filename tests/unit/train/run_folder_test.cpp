// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/run_folder.h"

#include "pergola/error.h"
#include "unit/support/temp_folder.h"

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
  std::string error_of(ExistingRun existing) {
    try {
      const RunFolder folder(path_, existing);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      return error.what();
    }
    return "(no error)";
  }

  testing::TempFolder temp_;
  fs::path path_ = temp_.path() / "a" / "run";
};

TEST_F(RunFolderTest, IsMadeWithItsParents) {
  const RunFolder folder(path_, ExistingRun::kRefuse);
  EXPECT_TRUE(fs::is_directory(path_));
  EXPECT_FALSE(folder.holds_run());
  EXPECT_EQ(folder.predictions("easy_vqa", "test"), path_ / "predictions/easy_vqa_test.json");
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

TEST_F(RunFolderTest, ClearRemovesTheRunAndNothingElse) {
  make_run();
  const RunFolder folder(path_, ExistingRun::kOverwrite);
  folder.clear();
  EXPECT_FALSE(fs::exists(path_ / "checkpoints"));
  EXPECT_FALSE(fs::exists(path_ / "metrics.jsonl"));
  EXPECT_TRUE(fs::exists(path_ / "notes.txt"));
  EXPECT_TRUE(fs::exists(path_ / "log.txt"));
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
