// SPDX-License-Identifier: BSD-3-Clause
// Runs that are stopped from outside, at whatever update that comes.
#include "integration/run_test.h"

#include <signal.h>

#include <algorithm>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Long enough to be caught in the middle; no checkpoint but those that a stop makes.
const Words kLong = {"training.max_updates=200", "training.evaluation_interval=50",
                     "training.checkpoint_interval=0", "run_type=train"};

class StopTest : public RunTest {
 protected:
  static Words with(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  // Starts the long run, sends the signal once `lines` metrics are there, and waits for the end.
  [[nodiscard]] Result stop_after(std::size_t lines, int signal, const Words& more = {}) const {
    Process process(train_launch(with(kLong, more), "cnn_lstm"));
    EXPECT_TRUE(wait_until(process, [&] {
      const std::string rows = text("run/metrics.jsonl");
      return static_cast<std::size_t>(std::count(rows.begin(), rows.end(), '\n')) >= lines;
    }));
    process.send(signal);
    return process.wait();
  }
};

class StoppedBy : public StopTest,
                  public ::testing::WithParamInterface<std::pair<int, std::size_t>> {};
INSTANTIATE_TEST_SUITE_P(Signals, StoppedBy,
                         ::testing::Values(std::pair(SIGINT, 3U), std::pair(SIGTERM, 60U),
                                           std::pair(SIGHUP, 30U), std::pair(SIGUSR1, 20U)),
                         [](const auto& param) {
                           return "signal_" + std::to_string(param.param.first);
                         });

TEST_P(StoppedBy, SavesExitsWith128PlusItsNumberAndGoesOnToTheSameBytes) {
  const auto [signal, lines] = GetParam();
  const Result stopped = stop_after(lines, signal);
  EXPECT_EQ(stopped.exit_code, 128 + signal) << stopped;
  EXPECT_THAT(stopped.out, HasSubstr("status interrupted\n"));
  const Json summary = json("run/summary.json");
  EXPECT_EQ(summary.at("status"), "interrupted");
  EXPECT_LT(summary.at("updates"), 200);
  EXPECT_EQ(json("run/checkpoints/last/state.json").at("progress").at("update"),
            summary.at("updates"));

  expect_success(train(with(kLong, {"--resume"}), "cnn_lstm"));
  expect_success(pergola(with({"train", "cnn_lstm.toml", "--run-dir", "whole"}, kLong)));
  EXPECT_TRUE(same_bytes(weights("run"), weights("whole")));
  EXPECT_EQ(metrics("run"), metrics("whole"));
  EXPECT_TRUE(same_bytes("run/checkpoints/best/model.safetensors",
                         "whole/checkpoints/best/model.safetensors"));
}

TEST_F(StopTest, KilledRunGoesOnFromItsLastCheckpointToTheSameBytes) {
  const Words often = {"training.checkpoint_interval=10", "checkpoint.max_to_keep=0"};
  const Result killed = stop_after(35, SIGKILL, often);
  EXPECT_EQ(killed.killed_by, SIGKILL) << killed;
  EXPECT_EQ(json("run/summary.json").at("status"), "running");
  expect_success(train(with(with(kLong, often), {"--resume"}), "cnn_lstm"));
  expect_success(
      pergola(with(with({"train", "cnn_lstm.toml", "--run-dir", "whole"}, kLong), often)));
  EXPECT_TRUE(same_bytes(weights("run"), weights("whole")));
  EXPECT_EQ(metrics("run"), metrics("whole"));
  for (const std::string& name : listing("run/checkpoints")) {
    EXPECT_TRUE(name.starts_with("last/") || name.starts_with("best/")) << "left behind: " << name;
  }
}

// Both signals wait until the process may go on, so that it cannot end between them.
TEST_F(StopTest, SecondSignalStopsAtOnceAndTheLastCheckpointIsWhole) {
  const Words fewer = with(kLong, {"training.max_updates=40"});
  const Words words =
      with(fewer, {"training.checkpoint_interval=1", "checkpoint.max_to_keep=0", "--resume"});
  for (const std::ptrdiff_t lines : {10, 25}) {
    Process process(train_launch(words, "cnn_lstm"));
    ASSERT_TRUE(wait_until(process, [&] {
      const std::string rows = text("run/metrics.jsonl");
      return std::count(rows.begin(), rows.end(), '\n') >= lines;
    }));
    for (const int signal : {SIGSTOP, SIGTERM, SIGINT, SIGCONT}) process.send(signal);
    const Result stopped = process.wait();
    EXPECT_THAT(stopped.exit_code, ::testing::AnyOf(128 + SIGTERM, 128 + SIGINT)) << stopped;
    EXPECT_THAT(stopped.err, Not(HasSubstr("stopped by signal")));
    EXPECT_THAT(text("run/summary.json"), Not(HasSubstr("interrupted")));
    expect_success(pergola({"checkpoint", "verify", "run/checkpoints/last"}));
  }
  expect_success(train(words, "cnn_lstm"));
  expect_success(pergola(with({"train", "cnn_lstm.toml", "--run-dir", "whole"}, fewer)));
  EXPECT_TRUE(same_bytes(weights("run"), weights("whole")));
  EXPECT_EQ(metrics("run"), metrics("whole"));
}

TEST_F(StopTest, SignalBeforeTheFirstUpdateStopsAsWell) {
  Process process(train_launch(kLong, "cnn_lstm"));
  ASSERT_TRUE(wait_until(process, [&] { return std::filesystem::exists(path("run/log.txt")); }));
  process.send(SIGINT);
  const Result stopped = process.wait();
  EXPECT_EQ(stopped.exit_code, 128 + SIGINT) << stopped;
  EXPECT_EQ(json("run/summary.json").at("status"), "interrupted");
}

// In the child: the signal has come before the program has done anything, and waits until it may.
void send_before_the_start() {
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  ::raise(SIGTERM);
}

TEST_F(StopTest, SignalBeforeMainEndsTheProgramWithASentence) {
  for (const char* spin_count : {"", "2000"}) {  // with and without the restart of before_main.cpp
    Launch launch = train_launch(kLong, "cnn_lstm");
    launch.prepare = &send_before_the_start;
    if (*spin_count != '\0') launch.environment["GOMP_SPINCOUNT"] = spin_count;
    const Result stopped = run(launch);
    EXPECT_EQ(stopped.killed_by, SIGTERM) << stopped;
    EXPECT_EQ(stopped.err, "stopped by signal 15; nothing was written\n");
    EXPECT_THAT(listing("run"), ::testing::IsEmpty());
  }
}

class StoppedIn : public RunTest, public ::testing::WithParamInterface<const char*> {
 protected:
  static std::string in(const std::string& split) {
    return "model_config.stopped_in.split=" + split;
  }
  // More than one batch in each split: a signal in the last one comes too late.
  static constexpr const char* kSmallBatches = "training.batch_size=2";
};
INSTANTIATE_TEST_SUITE_P(Splits, StoppedIn, ::testing::Values("build", "train", "val", "test"),
                         [](const auto& param) { return param.param; });

TEST_P(StoppedIn, EndsThereAndGoesOnToTheSameBytes) {
  const Result stopped = train({kSmallBatches, in(GetParam())}, "stopped_in");
  EXPECT_EQ(stopped.exit_code, 128 + SIGINT) << stopped;
  EXPECT_THAT(stopped.err, HasSubstr("[run] stopped by signal 2; go on with --resume"));
  EXPECT_EQ(json("run/summary.json").at("status"), "interrupted");
  for (const std::string& name : listing("run")) EXPECT_THAT(name, Not(HasSubstr("test.json")));

  const Result resumed = train({"--resume", kSmallBatches, in("\"\"")}, "stopped_in");
  expect_success(resumed);
  const Result whole =
      pergola({"train", "stopped_in.toml", "--run-dir", "whole", kSmallBatches, in("\"\"")});
  expect_success(whole);
  EXPECT_TRUE(same_bytes(weights("run"), weights("whole")));
  EXPECT_EQ(metrics("run"), metrics("whole"));
  EXPECT_EQ(json("run/checkpoints/last/state.json").at("callbacks"),
            json("whole/checkpoints/last/state.json").at("callbacks"));
  EXPECT_TRUE(
      same_bytes("run/predictions/easy_vqa_test.json", "whole/predictions/easy_vqa_test.json"));
}

TEST_F(StopTest, OverwriteThatIsStoppedBeforeItBeginsKeepsTheOldRun) {
  expect_success(train({"model_config.stopped_in.split=\"\""}, "stopped_in"));
  const auto before = listing("run");
  const Result stopped =
      train({"--overwrite", "model_config.stopped_in.split=build"}, "stopped_in");
  EXPECT_EQ(stopped.exit_code, 128 + SIGINT) << stopped;
  EXPECT_THAT(stopped.err, HasSubstr("the run that was there is as it was"));
  EXPECT_EQ(listing("run"), before);
}

TEST_P(StoppedIn, EvaluationEndsAtOnceAndWritesNothing) {
  if (GetParam() == std::string("train")) GTEST_SKIP() << "is not a split to evaluate";
  expect_success(train({in("\"\""), "run_type=train"}, "stopped_in"));
  const std::string split = GetParam() == std::string("build") ? "test" : GetParam();
  const Result stopped = pergola({"predict", "stopped_in.toml", "--run-dir", "run", "--split",
                                  split, kSmallBatches, in(GetParam())});
  EXPECT_EQ(stopped.exit_code, 128 + SIGINT) << stopped;
  EXPECT_EQ(stopped.out, "");
  EXPECT_THAT(stopped.err, HasSubstr("stopped by signal 2"));
  for (const std::string& name : listing("run")) EXPECT_THAT(name, Not(HasSubstr(".json.")));
  EXPECT_EQ(listing("run/predictions").size(), 0U);
}

TEST_F(StopTest, FolderOfARunningProcessIsRefusedToAnother) {
  Process first(train_launch(kLong, "cnn_lstm"));
  ASSERT_TRUE(wait_until(first, [&] { return !text("run/metrics.jsonl").empty(); }));
  for (const Words& how : {Words{}, Words{"--resume"}, Words{"--overwrite"}}) {
    first.send(SIGSTOP);  // it must still be there when the second one looks
    expect_error(train(how, "cnn_lstm"), kCheckpoint,
                 {"the run folder run is in use by another pergola process", "--run-dir"});
    first.send(SIGCONT);
  }
  first.send(SIGINT);
  EXPECT_EQ(first.wait().exit_code, 128 + SIGINT);
}

}  // namespace
}  // namespace pergola::test
