// SPDX-License-Identifier: BSD-3-Clause
// The run's folder: what is refused, what a disk that is full or closed leaves, and NaN.
#include "integration/run_test.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pergola::test {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

// In the child: files may not grow beyond 32 KiB, half of the weights; the logs are smaller.
void limit_file_size() {
  const rlimit limit{32768, 32768};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

class RunFolderTest : public RunTest {
 protected:
  [[nodiscard]] Result train_with(void (*prepare)(), const Words& more) const {
    Launch launch = train_launch(more);
    launch.prepare = prepare;
    return run(launch);
  }
};

TEST_F(RunFolderTest, FolderWithARunIsRefusedAndLeftAsItIs) {
  expect_success(train());
  const auto before = listing("run");
  const std::string log = text("run/log.txt");
  expect_error(train(), kCheckpoint,
               {"the folder run already holds a run", "--resume", "--overwrite", "--run-dir"});
  EXPECT_EQ(listing("run"), before);
  EXPECT_EQ(text("run/log.txt"), log);
}

TEST_F(RunFolderTest, OverwriteStartsAgainAndLeavesWhatIsNotOfTheRun) {
  expect_success(train());
  write("run/notes.txt", "mine");
  expect_success(train({"--overwrite", "training.max_updates=2", "run_type=train"}));
  EXPECT_EQ(text("run/notes.txt"), "mine");
  EXPECT_EQ(json("run/summary.json").at("updates"), 2);
  EXPECT_EQ(metrics().size(), 3U);  // two log lines and the validation at the end
  EXPECT_THAT(listing("run"), ::testing::Not(Contains(HasSubstr("predictions"))));
}

TEST_F(RunFolderTest, OverwriteRemovesNothingOfAFolderThatIsNoRuns) {
  for (const char* name : {"checkpoints/theirs.bin", "predictions/theirs.json", "metrics.jsonl"}) {
    write(std::string("run/") + name, "theirs");
    write("run/config.toml", "theirs");
    for (int attempt = 0; attempt < 2; ++attempt) {  // the first one must not make the folder ours
      expect_error(
          train({"--overwrite"}), kCheckpoint,
          {"would remove or replace run/", ".lock does not say that it is a run's", "--run-dir"});
      EXPECT_EQ(text(std::string("run/") + name), "theirs");
    }
    fs::remove_all(path("run"));
  }
}

TEST_F(RunFolderTest, FilesOfTheUserInTheRunFolderAreNotReplaced) {
  for (const char* name : {"config.toml", "summary.json", "log.txt"}) {
    write(std::string("run/") + name, "mine");
    expect_error(train(), kCheckpoint,
                 {std::string("would remove or replace run/") + name, "--run-dir"});
    EXPECT_EQ(text(std::string("run/") + name), "mine");
    fs::remove_all(path("run"));
  }
}

TEST_F(RunFolderTest, OverwriteThatCannotStartKeepsTheOldRun) {
  expect_success(train());
  write("before", text(weights()));
  EXPECT_EQ(train({"--overwrite", "env.data_dir=nowhere"}).exit_code, kData);
  EXPECT_TRUE(same_bytes(weights(), "before"));
  EXPECT_EQ(metrics().size(), 17U);  // 12 of training, 3 of validation, 2 of the evaluation
}

TEST_F(RunFolderTest, OverwriteThatEndsBeforeItSavesPutsTheOldRunBack) {
  expect_success(train());
  const auto before = listing("run");
  write("before", text(weights()));
  write("config", text("run/config.toml"));
  const Result result =
      train({"--overwrite", "optimizer.params.lr=1e15", "training.checkpoint_interval=0"});
  EXPECT_EQ(result.exit_code, kNan) << result;
  EXPECT_THAT(result.err, HasSubstr("the run that was to be overwritten is back"));
  EXPECT_EQ(listing("run"), before);
  EXPECT_TRUE(same_bytes(weights(), "before"));
  EXPECT_TRUE(same_bytes("run/config.toml", "config"));
  EXPECT_EQ(json("run/summary.json").at("status"), "finished");
}

TEST_F(RunFolderTest, OverwriteSaysOnceThatTheOldRunIsGone) {
  expect_success(train({"training.max_updates=1", "run_type=train"}));
  const Result result = train({"--overwrite", "training.max_updates=7"});
  expect_success(result);
  const std::string line = "[run] the run that was overwritten is removed, because the new one has";
  EXPECT_THAT(result.err, HasSubstr(line));
  EXPECT_EQ(result.err.find(line, result.err.find(line) + 1), std::string::npos);
  EXPECT_THAT(train({"--resume"}).err, ::testing::Not(HasSubstr("overwritten")));
}

TEST_F(RunFolderTest, OverwriteWithoutTrainingHasNoEffectAndSaysSo) {
  expect_success(train({"training.max_updates=1"}));
  const auto before = listing("run");
  const Result result = train({"--overwrite", "run_type=test"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("warning: [run] --overwrite has no effect, because run_type"));
  EXPECT_EQ(listing("run"), before);
}

// On another disk, say.
TEST_F(RunFolderTest, OverwriteDoesNotReplaceALinkToCheckpoints) {
  expect_success(train({"training.max_updates=1"}));
  fs::rename(path("run/checkpoints"), path("disk"));
  fs::create_symlink("../disk", path("run/checkpoints"));
  const auto before = listing("disk");
  expect_error(train({"--overwrite"}), kCheckpoint,
               {"--overwrite does not replace run/checkpoints, which is a symbolic link to ../disk",
                "--run-dir"});
  EXPECT_EQ(listing("disk"), before);
  expect_success(train({"--resume", "training.max_updates=2"}));
  EXPECT_TRUE(fs::is_symlink(path("run/checkpoints")));
}

TEST_F(RunFolderTest, PredictionsWithoutARunDoNotBlockTheFolder) {
  expect_success(train({"training.max_updates=1", "run_type=train"}));
  const Words predict = {"predict", "boring.toml",  "--run-dir",
                         "other",   "--checkpoint", "run/checkpoints/best"};
  expect_success(pergola(predict));
  EXPECT_THAT(listing("other"), Contains("predictions/easy_vqa_test.json"));
  Launch there = launch({"train", "boring.toml", "--run-dir", "other", "training.max_updates=1"});
  expect_success(run(there));
}

TEST_F(RunFolderTest, ResumeAndOverwriteExcludeEachOther) {
  expect_error(train({"--resume", "--overwrite"}), kConfig,
               {"--resume and --overwrite exclude each other"});
  EXPECT_FALSE(fs::exists(path("run")));
}

TEST_F(RunFolderTest, RunThatNeverBeganDoesNotBlockTheFolder) {
  expect_error(train({"env.data_dir=nowhere"}), kData, {"has no folder nowhere/easy_vqa"});
  expect_success(train({"training.max_updates=1"}));
}

TEST_F(RunFolderTest, PluginThatEndsTheProcessLeavesASummaryAllTheSame) {
  const Words words = {"plugins.path=[\"" + fixture_folder("static_throw").string() + "\"]",
                       "model=static_throw"};
  EXPECT_EQ(train(words).exit_code, kPlugin);
  EXPECT_EQ(json("run/summary.json").at("status"), "failed");
  EXPECT_THAT(json("run/summary.json").at("error"),
              HasSubstr("static_throw.so threw in a static constructor: no licence server"));
  Words untried = words;
  untried.emplace_back("plugins.probe=false");
  EXPECT_EQ(train(untried).exit_code, kPlugin);
  EXPECT_EQ(json("run/summary.json").at("error"), "the process ended while it loaded plugins");
  expect_success(train({"training.max_updates=1", "run_type=train"}));
  EXPECT_EQ(json("run/summary.json").at("status"), "finished");
}

TEST_F(RunFolderTest, FileInItsPlaceIsAnError) {
  write("run", "a file");
  expect_error(train(), kCheckpoint,
               {"cannot make the folder run", "a file where a folder is expected"});
  EXPECT_EQ(text("run"), "a file");
}

TEST_F(RunFolderTest, FolderWithoutWritePermissionIsRefused) {
  fs::create_directory(path("run"));
  fs::permissions(path("run"), fs::perms::owner_read | fs::perms::owner_exec);
  const Result result = train_with(&drop_root_override, {});
  fs::permissions(path("run"), fs::perms::owner_all);
  expect_error(result, kCheckpoint,
               {"cannot write run/", "Permission denied", "check its permissions"});
  EXPECT_THAT(listing("run"), ::testing::IsEmpty());
}

TEST_F(RunFolderTest, ParentWithoutWritePermissionIsRefused) {
  fs::create_directory(path("closed"));
  fs::permissions(path("closed"), fs::perms::owner_read | fs::perms::owner_exec);
  Launch launch = RunFolderTest::launch({"train", "boring.toml", "--run-dir", "closed/run"});
  launch.prepare = &drop_root_override;
  const Result result = run(launch);
  fs::permissions(path("closed"), fs::perms::owner_all);
  expect_error(result, kCheckpoint, {"cannot make the folder closed/run", "Permission denied"});
}

// In the child.
void close_standard_output() {
  ::close(STDOUT_FILENO);
  ::close(STDERR_FILENO);
}
void close_all_standard() {
  ::close(STDIN_FILENO);
  close_standard_output();
}

TEST_F(RunFolderTest, ClosedDescriptorsAreNotTheNumbersOfTheRunsFiles) {
  for (const auto close : {&close_standard_output, &close_all_standard}) {
    EXPECT_EQ(train_with(close, {}).exit_code, kUnexpected);  // the result has nowhere to go
    EXPECT_EQ(text("run/.lock"), "This folder is of a Pergola run.\n");
    EXPECT_EQ(metrics().size(), 17U);  // 12 of training, 3 of validation, 2 of the evaluation
    EXPECT_EQ(json("run/summary.json").at("status"), "finished");
    fs::remove_all(path("run"));
  }
}

TEST_F(RunFolderTest, FileThatCannotGrowEndsTheRunAndKeepsTheLastCheckpoint) {
  expect_success(train({"training.max_updates=3"}));
  write("before", text(weights()));
  const Result result = train_with(&limit_file_size, {"--resume"});
  EXPECT_EQ(result.exit_code, kCheckpoint) << result;
  EXPECT_THAT(result.err, HasSubstr("error: cannot write run/checkpoints/"));
  EXPECT_THAT(result.err, HasSubstr("File too large"));
  EXPECT_TRUE(same_bytes(weights(), "before"));
  expect_success(pergola({"checkpoint", "verify", "run/checkpoints/last"}));
  EXPECT_EQ(json("run/summary.json").at("status"), "failed");
  for (const std::string& name : listing("run"))
    EXPECT_THAT(name, ::testing::Not(HasSubstr("tmp")));
}

TEST_F(RunFolderTest, ABestThatCouldNotBeSavedIsNotInTheSummary) {
  const Result result = train_with(
      &limit_file_size, {"training.checkpoint_interval=0", "checkpoint.save_in_background=false"});
  EXPECT_EQ(result.exit_code, kCheckpoint) << result;  // after the first validation
  EXPECT_EQ(metrics().back().at("split"), "val");
  EXPECT_FALSE(json("run/summary.json").contains("best"));
}

// Mounts a file system of 384 KiB in a mount namespace of its own: room for one checkpoint of
// 200 KiB, and not for a second beside it.
bool mount_small_disk(const char* folder) {
  return ::unshare(CLONE_NEWNS) == 0 &&
         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", folder, "tmpfs", 0, "size=384k") == 0;
}

TEST_F(RunFolderTest, ABestThatFoundNoRoomIsNotInTheSummary) {
  fs::create_directory(path("disk"));
  if (!mount_small_disk(path("disk").c_str())) {
    GTEST_SKIP() << "no permission to mount a file system here: " << std::strerror(errno);
  }
  const Result result =
      pergola({"train", "boring.toml", "--run-dir", "disk/run", "training.checkpoint_interval=0",
               "training.evaluation_interval=2"});
  EXPECT_EQ(result.exit_code, kCheckpoint) << result;  // at the second one
  EXPECT_EQ(json("disk/run/summary.json").at("best").at("update"), 2);
  EXPECT_EQ(json("disk/run/checkpoints/best/state.json").at("progress").at("update"), 2);
}

TEST_F(RunFolderTest, FullDiskEndsTheRunAndKeepsTheLastCheckpoint) {
  fs::create_directory(path("disk"));
  // In this process, which ctest starts for this test alone, so that the test can look at the disk.
  if (!mount_small_disk(path("disk").c_str())) {
    GTEST_SKIP() << "no permission to mount a file system here: " << std::strerror(errno);
  }
  const Result result = pergola({"train", "boring.toml", "--run-dir", "disk/run"});
  EXPECT_EQ(result.exit_code, kCheckpoint) << result;
  EXPECT_THAT(result.err,
              ContainsRegex("error: cannot save the checkpoint disk/run/checkpoints/last: it needs "
                            "[0-9]+ bytes and [0-9]+ are free; free some space there"));
  const Result kept = pergola({"checkpoint", "verify", "disk/run/checkpoints/last"});
  expect_success(kept);
  EXPECT_EQ(json("disk/run/checkpoints/last/state.json").at("progress").at("update"), 3);
  EXPECT_THAT(listing("disk/run"), ::testing::Not(Contains(HasSubstr("tmp"))));
  for (const Json& row : metrics("disk/run")) EXPECT_TRUE(row.contains("update"));  // whole lines
  ::umount(path("disk").c_str());
}

// Plain steps, and a loss so large that the first one of them ruins the weights.
const std::string kSgd = "optimizer={type=\"sgd\", params={lr=0.01}}";
const std::string kRuinous = "model_config.boring.losses=[{type=\"cross_entropy\", weight=1e38}]";

TEST_F(RunFolderTest, LossThatIsNotANumberEndsTheRunAndKeepsTheLastCheckpoint) {
  expect_success(train({kSgd, "training.max_updates=3"}));
  write("before", text(weights()));
  const Result result = train({kSgd, kRuinous, "--resume", "training.checkpoint_interval=0",
                               "training.evaluation_interval=100"});
  EXPECT_EQ(result.exit_code, kNan) << result;
  EXPECT_THAT(result.err,
              HasSubstr("error: not a finite number at update 5: train/easy_vqa/cross_entropy; "
                        "look for nan and inf in the data, or try a smaller optimizer.params.lr"));
  EXPECT_TRUE(same_bytes(weights(), "before"));
  const Json summary = json("run/summary.json");
  EXPECT_EQ(summary.at("status"), "nan");
  EXPECT_THAT(summary.at("error").get<std::string>(), HasSubstr("train/easy_vqa/cross_entropy"));
}

// The step before the validation ruined the weights, and no loss of training has seen them yet.
TEST_F(RunFolderTest, ValidationThatIsNotANumberEndsTheRunAndKeepsTheLastCheckpoint) {
  expect_success(train({kSgd, "training.max_updates=3"}));
  write("before", text(weights()));
  const Result result = train({kSgd, kRuinous, "--resume"});
  EXPECT_EQ(result.exit_code, kNan) << result;
  EXPECT_THAT(result.err, HasSubstr("error: not a finite number in the validation at update 4"));
  EXPECT_TRUE(same_bytes(weights(), "before"));
}

TEST_F(RunFolderTest, LossThatIsNotANumberIsToleratedWhenAskedTo) {
  const Result result =
      train({"optimizer.params.lr=1e15", "training.exit_on_nan_losses=false", "run_type=train"});
  expect_success(result);
  EXPECT_EQ(json("run/summary.json").at("status"), "finished");
}

}  // namespace
}  // namespace pergola::test
