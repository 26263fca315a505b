// SPDX-License-Identifier: BSD-3-Clause
// Runs that end by a fatal signal: what is said, what is left, and how it goes on.
#include "integration/run_test.h"

#include <signal.h>

#include <algorithm>

namespace pergola::test {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class CrashTest : public RunTest {
 protected:
  // A checkpoint after the third update; the model crashes in the fourth, when it crashes.
  CrashTest() {
    write("crashes_in.toml", common_config() + "model = \"crashes_in\"\nplugins.path = [\"" +
                                 fixture_folder("crashes_in").string() +
                                 // so that the save of an update is done in the next one
                                 "\"]\ncheckpoint.save_in_background = false\n");
  }
  [[nodiscard]] Result crash(const std::string& hook, const std::string& how,
                             Words more = {}) const {
    more.insert(more.end(),
                {"model_config.crashes_in.hook=" + hook, "model_config.crashes_in.how=" + how});
    return train(more, "crashes_in");
  }
  // All of it, in the order of its lines.
  static void expect_report(const Result& result, int signal, const Words& lines) {
    EXPECT_EQ(result.killed_by, signal) << result;
    EXPECT_EQ(result.out, "") << result;
    std::size_t at = 0;
    for (const std::string& line : lines) {
      at = result.err.find(line, at);
      ASSERT_NE(at, std::string::npos) << line << "\nis not, or not there, in\n" << result;
    }
  }
};

const std::string kHook =
    " in training_step() of model 'crashes_in' (plugin crashes_in 0.1.0) at update 4\n";
const std::string kBlame = "  this is a matter for the plugin's author: crashes_in 0.1.0, /";

// Each leaves through another one of the signals that nobody can go on after.
struct Crash {
  const char* how;
  int signal;
  std::string first_line;
  std::string frame;  // of the plugin, on the stack
};
void PrintTo(const Crash& crash, std::ostream* stream) { *stream << crash.how; }

class CrashBy : public CrashTest, public ::testing::WithParamInterface<Crash> {};
INSTANTIATE_TEST_SUITE_P(
    Ways, CrashBy,
    ::testing::Values(
        Crash{"null", SIGSEGV, "error: signal 11 (SIGSEGV, address 0x0)", "write_null()"},
        Crash{"call_null", SIGSEGV, "error: signal 11 (SIGSEGV, address 0x0)", "call_null()"},
        Crash{"abort", SIGABRT, "error: signal 6 (SIGABRT)", "crash("},
        Crash{"noexcept", SIGABRT, "error: signal 6 (SIGABRT)", "throw_in_noexcept()"},
        Crash{"division", SIGFPE, "error: signal 8 (SIGFPE, an integer was divided by zero)",
              "divide()"},
        Crash{"recursion", SIGSEGV, "error: signal 11 (SIGSEGV, the stack is full, address 0x",
              "recurse(int)"}),
    [](const auto& param) { return std::string(param.param.how); });

TEST_P(CrashBy, NamesPluginModelHookUpdateAndTheCallsAndDiesByThatSignal) {
  const Result result = crash("forward", GetParam().how);
  expect_report(result, GetParam().signal,
                {GetParam().first_line, kHook, "  stack, innermost call first:\n",
                 "plugin crashes_in.so+0x", GetParam().frame, kBlame, "addr2line -Cfpie /",
                 "  the last checkpoint is run/checkpoints/last: go on with --resume\n"});
  EXPECT_THAT(result.err, Not(HasSubstr("\x1b"))) << "of the exception's text";
}

// C++ names are made readable with memory from the heap: they stay as they are, and all else is
// said.
TEST_F(CrashTest, ADamagedHeapDoesNotKeepItFromTheEndOfTheReport) {
  const Result result = crash("forward", "heap");
  expect_report(result, SIGABRT,
                {"error: signal 6 (SIGABRT)", kHook, "plugin crashes_in.so+0x",
                 " _ZN12_GLOBAL__N_111damage_heap", kBlame, "go on with --resume\n"});
}

TEST_F(CrashTest, AnExceptionThatNothingCatchesIsTold) {
  const Result result = crash("forward", "noexcept");
  EXPECT_THAT(result.err, HasSubstr("  an exception that nothing caught: no luck\\x1b[2J\n"));
}

TEST_F(CrashTest, TheLastCheckpointIsWholeAndTheRunGoesOnFromIt) {
  EXPECT_EQ(crash("forward", "null").killed_by, SIGSEGV);
  EXPECT_EQ(json("run/summary.json").at("status"), "running");
  EXPECT_THAT(text("run/log.txt"), HasSubstr(kHook));
  EXPECT_THAT(text("run/log.txt"), HasSubstr("write_null()"));
  EXPECT_EQ(json("run/checkpoints/last/state.json").at("progress").at("update"), 3);
  expect_success(pergola({"checkpoint", "verify", "run"}));
  expect_success(pergola({"report", "run"}));
  expect_success(train({"--resume"}, "crashes_in"));
  expect_success(pergola({"train", "crashes_in.toml", "--run-dir", "whole"}));
  EXPECT_TRUE(same_bytes(weights("run"), weights("whole")));
}

TEST_F(CrashTest, ALogOfJsonStaysOne) {
  EXPECT_EQ(crash("forward", "null", {"training.log_format=json"}).killed_by, SIGSEGV);
  EXPECT_THAT(text("run/log.txt"), Not(HasSubstr("SIGSEGV")));
}

TEST_F(CrashTest, BeforeTheFirstCheckpointThereIsNoneToGoOnFrom) {
  const Result result = crash("forward", "null", {"model_config.crashes_in.after=0"});
  expect_report(
      result, SIGSEGV,
      {" at update 1\n", kBlame, "  there is no checkpoint yet: begin again with --overwrite\n"});
}

TEST_F(CrashTest, BeforeTrainingNoUpdateIsNamed) {
  const Result result = crash("build", "abort");
  expect_report(result, SIGABRT,
                {"error: signal 6 (SIGABRT) in build() of model 'crashes_in' (plugin crashes_in "
                 "0.1.0)\n",
                 "crash(", kBlame});
  EXPECT_THAT(result.err, Not(HasSubstr("checkpoint")));
}

TEST_F(CrashTest, WhileACheckpointIsSavedTheOneBeforeIsLeft) {
  expect_success(train({"training.max_updates=3"}, "crashes_in"));
  const Result result = crash("on_save_checkpoint", "null", {"--resume"});
  expect_report(result, SIGSEGV,
                {" in on_save_checkpoint() of model 'crashes_in' (plugin crashes_in 0.1.0) at "
                 "update 4\n",
                 "write_null()", "  the last checkpoint is run/checkpoints/last: go on"});
  expect_success(pergola({"checkpoint", "verify", "run/checkpoints/last"}));
}

TEST_F(CrashTest, OnAThreadOfThePluginsOwnTheHookOfTheMainThreadIsNamed) {
  const Result result = crash("thread", "null");
  expect_report(result, SIGSEGV,
                {"error: signal 11 (SIGSEGV, address 0x0) at update 4\n",
                 "  it came on another thread, while the main thread was in training_step() of "
                 "model 'crashes_in' (plugin crashes_in 0.1.0)\n",
                 "write_null()", kBlame});
}

TEST_F(CrashTest, SentFromOutsideBlamesNoPlugin) {
  Process process(train_launch({"training.max_updates=2000", "training.evaluation_interval=0",
                                "checkpoint.save_in_background=false"}));
  ASSERT_TRUE(wait_until(process, [&] {
    const std::string rows = text("run/metrics.jsonl");
    return std::count(rows.begin(), rows.end(), '\n') >= 5;
  }));
  process.send(SIGSEGV);
  const Result result = process.wait();
  expect_report(result, SIGSEGV,
                {"error: signal 11 (SIGSEGV, sent by process ", "stack, innermost call first:\n",
                 "  the last checkpoint is run/checkpoints/last: go on with --resume\n"});
  EXPECT_THAT(result.err, Not(HasSubstr("plugin's author")));
  EXPECT_THAT(result.err, ContainsRegex(" pergola\\+0x[0-9a-f]+ "));
}

}  // namespace
}  // namespace pergola::test
