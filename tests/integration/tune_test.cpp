// SPDX-License-Identifier: BSD-3-Clause
// `pergola tune`: what it prints, and that it leaves nothing behind.
#include "integration/run_test.h"

#include <sstream>
#include <string>

namespace pergola::test {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class TuneTest : public RunTest {
 protected:
  [[nodiscard]] Result tune(const Words& more) const {
    Words words = {"tune"};
    words.insert(words.end(), more.begin(), more.end());
    return pergola(words);
  }
  static std::string last_line(const std::string& text) {
    std::istringstream lines(text);
    std::string last;
    for (std::string line; std::getline(lines, line);) last = line;
    return last;
  }
};

TEST_F(TuneTest, LrPrintsATableAndASuggestionAndWritesNothing) {
  const auto before = listing(".");
  const Result result = tune({"lr", "boring.toml", "--run-dir", "run"});
  expect_success(result);
  EXPECT_THAT(result.out, StartsWith("  lr        loss"));
  EXPECT_THAT(result.out, HasSubstr("\n  1.00e-08  "));
  EXPECT_THAT(last_line(result.out), MatchesRegex("optimizer\\.params\\.lr = [0-9.]+e-0[0-9]"));
  EXPECT_EQ(listing("."), before);
  EXPECT_EQ(tune({"lr", "boring.toml"}).out, result.out) << "the same twice";
}

// A run takes the rate that is suggested.
TEST_F(TuneTest, TheSuggestedRateTrains) {
  const std::string line = last_line(tune({"lr", "boring.toml"}).out);
  std::string word = line;
  std::erase(word, ' ');
  expect_success(train({word}));
}

TEST_F(TuneTest, LrNeedsARateToBeginWith) {
  expect_error(tune({"lr", "boring.toml", "optimizer.params.lr=0"}), kConfig,
               {"optimizer.params.lr = 0", "set it to a number above 0"});
}

// 44 training samples: 22 images with two questions.
TEST_F(TuneTest, BatchSizeDoublesUpToTheSplit) {
  const auto before = listing(".");
  const Result result = tune({"batch_size", "boring.toml", "training.batch_size=32"});
  expect_success(result);
  EXPECT_THAT(result.out, StartsWith("  batch_size  samples/s  MiB\n  32 "));
  EXPECT_THAT(result.out, HasSubstr("the training split has 44 samples, fewer than 64\n"));
  EXPECT_EQ(last_line(result.out), "training.batch_size = 32");
  EXPECT_EQ(listing("."), before);
}

TEST_F(TuneTest, ABatchSizeThatIsTooLargeIsAConfigError) {
  expect_error(tune({"batch_size", "boring.toml", "training.batch_size=64"}), kConfig,
               {"training.batch_size = 64 is more than the training split has, which is 44"});
}

TEST_F(TuneTest, TheKeyThatWinsIsTheOneThatIsSuggested) {
  const Result result = tune(
      {"batch_size", "boring.toml", "training.batch_size=16", "training.batch_size_per_device=32"});
  expect_success(result);
  EXPECT_THAT(result.out, StartsWith("  batch_size  samples/s  MiB\n  32 "));
  EXPECT_EQ(last_line(result.out), "training.batch_size_per_device = 32");
}

TEST_F(TuneTest, TheConfigSaysHowMuchIsLogged) {
  const Result result = tune({"lr", "boring.toml", "training.logger_level=warning"});
  expect_success(result);
  EXPECT_EQ(result.err, "");
}

TEST_F(TuneTest, WhatTrainingRefusesIsRefused) {
  expect_error(tune({"lr", "boring.toml", "training.recompute=true"}), kConfig,
               {"training.recompute = true, but model 'boring' has no parts"});
}

TEST_F(TuneTest, AnotherWordNamesTheClosest) {
  expect_error(tune({"batchsize", "boring.toml"}), kConfig,
               {"'batchsize' is nothing that can be tuned", "did you mean 'batch_size'?",
                "usage: pergola tune lr | batch_size CONFIG"});
  expect_error(tune({}), kConfig, {"`lr` or `batch_size` is missing"});
  EXPECT_THAT(tune({"--help"}).out, HasSubstr("usage: pergola tune lr | batch_size CONFIG"));
}

}  // namespace
}  // namespace pergola::test
