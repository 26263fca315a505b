// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/run_facts.h"

#include "fixtures/temp_folder.h"
#include "pergola/error.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RunFactsTest : public ::testing::Test {
 protected:
  RunFactsTest() {
    folder_.write("run/metrics.jsonl", "{\"split\":\"train\",\"update\":20,\"time\":5}\n");
  }
  [[nodiscard]] RunFacts facts() const { return read_run(folder_ / "run"); }
  void write(const std::string& name, const std::string& content) const {
    folder_.write("run/" + name, content);
  }
  [[nodiscard]] std::string refusal(const fs::path& path) const {
    try {
      (void)read_run(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      return error.what();
    }
    return "nothing was thrown";
  }
  fixtures::TempFolder folder_;
};

TEST_F(RunFactsTest, AFolderThatIsNoRunIsRefusedWithOneThatIs) {
  const std::string next = "; name the folder that `pergola train` printed behind `run`";
  const std::string root = folder_.path().string();
  EXPECT_EQ(refusal(folder_.path()),
            root +
                " is not the folder of a run: it has none of "
                "metrics.jsonl, summary.json, checkpoints/ and predictions/" +
                next + ", such as " + root + "/run");
  EXPECT_EQ(refusal(folder_ / "gone"), "there is no folder " + root + "/gone" + next);
  EXPECT_EQ(refusal(folder_ / "run/metrics.jsonl"),
            root + "/run/metrics.jsonl is a file, expected a run's folder" + next);
}

TEST_F(RunFactsTest, TheSummarySaysHowItEnded) {
  EXPECT_EQ(facts().state, RunState::kEnded);
  write("summary.json", R"({"status":"nan","updates":20,"error":"a loss is nan"})");
  EXPECT_EQ(facts().state, RunState::kNan);
  EXPECT_EQ(facts().error, "a loss is nan");
  write("summary.json", R"({"status":"<odd>","updates":20})");
  EXPECT_EQ(facts().state, RunState::kEnded);
}

TEST_F(RunFactsTest, ASummaryOfBeforeTheRunWentOnIsNotBelieved) {
  write(
      "summary.json",
      R"({"status":"interrupted","updates":10,"best":{"criteria":"val/a","value":1,"update":5}})");
  EXPECT_EQ(facts().state, RunState::kEnded);
  EXPECT_THAT(facts().notes, ElementsAre(HasSubstr("summary.json is older than the last lines")));
}

// Of the 20 updates that metrics.jsonl has.
TEST_F(RunFactsTest, TheBestOfASummaryOfBeforeTheRunWentOnIsNotShown) {
  write("config.toml", "training.early_stop.criteria = \"a\"\n");
  folder_.write("run/metrics.jsonl",
                "{\"split\":\"val\",\"update\":5,\"val/a\":7.5}\n"
                "{\"split\":\"val\",\"update\":20,\"val/a\":4.75}\n");
  write("summary.json", R"({"status":"interrupted","updates":10,"device":"cpu",)"
                        R"("best":{"criteria":"val/a","value":7.5,"update":5}})");
  const RunFacts run = facts();
  EXPECT_EQ(best_value(run)->value, 4.75);
  EXPECT_EQ(best_value(run)->update, 20);
  EXPECT_EQ(run.summary.find("device"), nullptr);
}

// A process that was killed between a save and its next log line.
TEST_F(RunFactsTest, ASummaryOlderThanTheLastCheckpointIsNotBelieved) {
  write("summary.json", R"({"status":"interrupted","updates":20})");
  write("checkpoints/last/state.json", R"({"progress":{"update":20}})");
  EXPECT_EQ(facts().state, RunState::kInterrupted);
  write("checkpoints/last/state.json", R"({"progress":{"update":21}})");
  EXPECT_EQ(facts().state, RunState::kEnded);
  EXPECT_THAT(facts().notes, ElementsAre(HasSubstr("summary.json is older than checkpoints/last")));
}

TEST_F(RunFactsTest, ARunThatSaysItIsGoingOnAndHoldsNoLockIsNotBelieved) {
  write("config.toml", "training.early_stop.criteria = \"a\"\n");
  folder_.write("run/metrics.jsonl", "{\"split\":\"val\",\"update\":20,\"val/a\":4.75}\n");
  write("summary.json", R"({"status":"running","updates":10,"device":"cpu",)"
                        R"("best":{"criteria":"val/a","value":7.5,"update":5}})");
  const RunFacts run = facts();
  EXPECT_EQ(run.state, RunState::kEnded);
  EXPECT_EQ(best_value(run)->value, 4.75);
  EXPECT_EQ(run.summary.find("device")->as_string(), "cpu");  // it is this process's
  EXPECT_THAT(run.notes, ElementsAre(HasSubstr("it was killed, or runs on another machine")));
}

TEST_F(RunFactsTest, ALockedFolderIsOfARunThatIsGoingOn) {
  write("summary.json", R"({"status":"interrupted","updates":20})");
  write(".lock", "");
  EXPECT_EQ(facts().state, RunState::kInterrupted);
  const int lock = open((folder_ / "run/.lock").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  const RunState state = facts().state;
  close(lock);
  if (state != RunState::kRunning) GTEST_SKIP() << "/proc/locks does not show locks here";
  EXPECT_EQ(facts().state, RunState::kInterrupted);
}

TEST_F(RunFactsTest, DamagedFilesAreNotesAndNoErrors) {
  write("summary.json", "{\"status\":");
  write("config.toml", "= 3");
  write("metrics.jsonl", "{\"split\":\"train\",\"update\":1}\n{\"a\n{\"b\n{\"sp");
  write("checkpoints/last/state.json", "[]");
  EXPECT_THAT(facts().notes,
              ElementsAre("2 lines of metrics.jsonl could not be read, and were left out",
                          "The last line of metrics.jsonl has no end yet, and was left out",
                          HasSubstr("summary.json:1:"), HasSubstr("state.json is not an object"),
                          HasSubstr("config.toml:1:1")));
}

TEST_F(RunFactsTest, CheckpointsAreMeasuredAndNamedByTheirUpdate) {
  write("checkpoints/update_00000020/model.safetensors", "1234567");
  write("checkpoints/update_00000020/MANIFEST.json", "{}");
  write("checkpoints/update_00000003/model.safetensors", "123");
  write("checkpoints/last/state.json",
        R"({"progress":{"update":20},"model":"m","config":"dataset = \"d\""})");
  fs::create_hard_link(folder_ / "run/checkpoints/update_00000020/model.safetensors",
                       folder_ / "run/checkpoints/last/model.safetensors");
  write("checkpoints/.last.tmp/model.safetensors", "half");
  const RunFacts run = facts();
  std::vector<std::string> lines;
  for (const SavedCheckpoint& each : run.checkpoints.list) {
    lines.push_back(concat(each.name, " ", each.update.value_or(-1)));
  }
  EXPECT_THAT(lines, ElementsAre("last 20", "update_00000003 3", "update_00000020 20"));
  EXPECT_EQ(run.checkpoints.list[2].bytes, 9U);
  const std::uintmax_t state = fs::file_size(folder_ / "run/checkpoints/last/state.json");
  EXPECT_EQ(run.checkpoints.list[0].bytes, 7 + state);
  EXPECT_EQ(run.checkpoints.bytes, 9 + 3 + state);  // the file with two names once
  EXPECT_EQ(run.name_of("model"), "m");
  EXPECT_THAT(run.config.datasets(), ElementsAre("d"));  // of the checkpoint, without config.toml
}

TEST_F(RunFactsTest, TheBestValueIsTheSummarysOrFoundInTheValidations) {
  write("config.toml", "[training.early_stop]\ncriteria = \"d/accuracy\"\nminimize = false\n");
  EXPECT_FALSE(best_value(facts()).has_value());
  write("metrics.jsonl",
        "{\"split\":\"val\",\"update\":10,\"val/d/accuracy\":0.5}\n"
        "{\"split\":\"val\",\"update\":20,\"val/d/accuracy\":0.75}\n"
        "{\"split\":\"val\",\"update\":30,\"val/d/accuracy\":null}\n");
  const std::optional<BestValue> found = best_value(facts());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->criteria, "val/d/accuracy");
  EXPECT_EQ(found->value, 0.75);
  EXPECT_EQ(found->update, 20);
  write("summary.json",
        R"({"status":"finished","updates":30,"best":{"criteria":"val/x","value":2,"update":7}})");
  EXPECT_EQ(best_value(facts())->criteria, "val/x");
  EXPECT_EQ(best_value(facts())->update, 7);
}

}  // namespace
}  // namespace pergola::host
