// SPDX-License-Identifier: BSD-3-Clause
// What stderr shows: a bar on a terminal, plain lines elsewhere.
#include "integration/run_test.h"

#include <sstream>

namespace pergola::test {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class TerminalTest : public RunTest {
 protected:
  [[nodiscard]] Result train_on_terminal(const Words& more, const std::string& model = "boring",
                                         unsigned short columns = 80) const {
    Launch launch = train_launch(more, model);
    launch.terminal = true;
    launch.columns = columns;
    return run(launch);
  }

  // What is between two redrawings of the line at the bottom, or between one and a line's end.
  static std::vector<std::string> drawn(const std::string& err) {
    const std::string clear = "\r\x1b[2K";
    std::vector<std::string> lines;
    for (std::size_t at = err.find(clear); at != std::string::npos; at = err.find(clear, at)) {
      at += clear.size();
      lines.push_back(err.substr(at, err.find_first_of("\r\n", at) - at));
    }
    return lines;
  }
};

TEST_F(TerminalTest, FileGetsPlainLinesOnly) {
  const Result result = train();
  expect_success(result);
  EXPECT_THAT(result.err, Not(HasSubstr("\r")));
  EXPECT_THAT(result.err, Not(HasSubstr("\x1b")));
  EXPECT_THAT(result.err,
              ContainsRegex("\\[train\\] update 6/12: .*[0-9]+ samples/s \\(average [0-9]+\\), .*, "
                            "[0-9]+ MiB, [0-9:]+ left \\(.*%\\)\n"));
}

TEST_F(TerminalTest, WideTerminalGetsABarWithSpeedTimeLeftLossRateAndMemory) {
  // The bar is drawn ten times a second: these updates take longer than that.
  const Result result =
      train_on_terminal({"training.max_updates=300", "training.log_interval=100",
                         "training.checkpoint_interval=0", "training.evaluation_interval=300"},
                        "cnn_lstm", /*columns=*/160);
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("\r\x1b[2K"));
  EXPECT_THAT(result.err,
              ContainsRegex("training \\[#*\\.*\\] [0-9]+%  [0-9]+/300 updates  [0-9]+ samples/s  "
                            "[0-9]+:[0-9][0-9]:[0-9][0-9] left  loss [0-9.]+  lr 0\\.01  "
                            "[0-9.]+ [MG]iB"));
  EXPECT_THAT(result.err, HasSubstr("\r\x1b[2Kvalidating  0 batches"));
  EXPECT_THAT(text("run/log.txt"), Not(HasSubstr("\x1b")));
}

// 8 updates of 120 with a loss of one digit, "training [....] 6%  8/120 updates  9 samples/s
// 0:00:07 left  loss 1  lr 0.01", are 77 places: with the memory, 7 more at least, they are too
// many.
TEST_F(TerminalTest, BarIsNoWiderThanTheTerminal) {
  const Result result = train_on_terminal({"training.max_epochs=20", "run_type=train"});
  expect_success(result);
  int bars = 0;
  for (const std::string& line : drawn(result.err)) {
    if (line.find("updates  ") == std::string::npos) continue;
    ++bars;
    EXPECT_LT(line.size(), 80U) << line;
    if (line.find("  loss ") != std::string::npos) {
      EXPECT_THAT(line, Not(HasSubstr("iB")));
    }
  }
  EXPECT_GT(bars, 0);
}

TEST_F(TerminalTest, RunThatIsBeyondANewEndHasAFullBar) {
  expect_success(train({"training.max_updates=12", "run_type=train"}));
  const Result result = train_on_terminal({"--resume", "training.max_updates=6", "run_type=train"});
  expect_success(result);
  EXPECT_THAT(result.err, ContainsRegex("training \\[#+\\] 100%  12/6 updates"));
}

TEST_F(TerminalTest, BarIsGoneAtTheEnd) {
  const Result result = train_on_terminal({"training.max_updates=5"});
  expect_success(result);
  const std::size_t last_bar = result.err.rfind("updates  ");
  ASSERT_NE(last_bar, std::string::npos);
  EXPECT_NE(result.err.find("\r\x1b[2K", last_bar), std::string::npos);
}

TEST_F(TerminalTest, NoProgressTurnsTheBarOff) {
  const Result result = train_on_terminal({"--no-progress"});
  expect_success(result);
  EXPECT_THAT(result.err, Not(HasSubstr("training [")));
}

TEST_F(TerminalTest, ErrorOnATerminalIsNotHiddenByTheBar) {
  const Result result = train_on_terminal({"optimizer.params.lr=1e15"});
  EXPECT_EQ(result.exit_code, kNan) << result;
  const std::size_t error = result.err.find("error: ");
  ASSERT_NE(error, std::string::npos);
  EXPECT_EQ(result.err.find("updates  ", error), std::string::npos);
}

TEST_F(TerminalTest, JsonLogIsInTheFileAlone) {
  const Result result = train({"training.log_format=json", "run_type=train"});
  expect_success(result);
  EXPECT_THAT(result.err, HasSubstr("] [train] update 12/12: "));
  std::istringstream lines(text("run/log.txt"));
  std::string messages;
  for (std::string line; std::getline(lines, line);) {
    const Json entry = Json::parse(line);
    EXPECT_EQ(entry.size(), 4U) << line;
    EXPECT_GT(entry.at("time").get<double>(), 1.6e9);
    EXPECT_EQ(entry.at("level"), "info") << line;
    messages += entry.at("area").get<std::string>() + ": " + entry.at("message").get<std::string>();
    messages += '\n';
  }
  EXPECT_THAT(messages, HasSubstr("\ntrain: update 12/12: "));
}

TEST_F(TerminalTest, LogSaysHowLargeTheModelAndItsPartsAre) {
  const Result result = train({"training.max_updates=1", "run_type=train"});
  expect_success(result);
  EXPECT_THAT(result.err, ContainsRegex("\\[model\\] .*[0-9]+ parameters \\(.*[0-9.]+ MiB\\), "
                                        "[0-9]+ of them trained\n"));
  EXPECT_THAT(result.err,
              ContainsRegex("\\[model\\] its parts:\npart +parameters +trained +MiB\n"));
}

TEST_F(TerminalTest, ShouldNotLogShowsErrorsAloneAndLogTxtHasTheRest) {
  const Words one = {"training.max_updates=1", "run_type=train", "training.should_not_log=true"};
  const Result result = train_on_terminal(one);
  expect_success(result);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("status finished"));
  EXPECT_THAT(text("run/log.txt"), HasSubstr("[train] update 1/1: "));
  const Result refused = train_on_terminal(one);  // for its folder is taken
  EXPECT_EQ(refused.exit_code, kCheckpoint);
  EXPECT_THAT(refused.err, HasSubstr("error: "));
}

// tf32 on the CPU is a warning.
TEST_F(TerminalTest, ColoredLogsCanBeTurnedOff) {
  Launch launch = train_launch({"training.max_updates=1", "run_type=train", "--no-progress",
                                "training.precision=tf32", "--overwrite"});
  launch.terminal = true;
  launch.environment["NO_COLOR"] = "";
  const Result coloured = run(launch);
  expect_success(coloured);
  EXPECT_THAT(coloured.err, HasSubstr("\x1b[33mwarning: \x1b[0m[device] "));
  launch.command.emplace_back("training.colored_logs=false");
  const Result plain = run(launch);
  expect_success(plain);
  EXPECT_THAT(plain.err, HasSubstr("] warning: [device] "));
  EXPECT_THAT(plain.err, Not(HasSubstr("\x1b")));
}

TEST_F(TerminalTest, LogLevelErrorLeavesStderrEmpty) {
  const Result result = train({"--log-level", "error"});
  expect_success(result);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("status finished"));
}

}  // namespace
}  // namespace pergola::test
