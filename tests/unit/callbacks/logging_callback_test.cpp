// SPDX-License-Identifier: BSD-3-Clause
#include "host/callbacks/logging_callback.h"

#include "fixtures/temp_folder.h"
#include "host/support/json.h"
#include "host/support/log.h"
#include "unit/train/test_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace pergola::host {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

struct Written {
  std::int64_t update;
  std::string split;
  Numbers numbers;
};

class Notes final : public MetricsSink {
 public:
  void write(const Progress& progress, const std::string& split, const Numbers& numbers) override {
    written.push_back({progress.update, split, numbers});
  }
  std::vector<Written> written;
};

class LoggingCallbackTest : public TrainerTest {
 protected:
  LoggingCallbackTest() { init_log(LogLevel::kInfo); }
  ~LoggingCallbackTest() override { init_log(LogLevel::kInfo); }

  // Six updates, a log line every three, a validation at the end of each epoch of three.
  LoggingCallback& add_to(TestRun& run, const FlopOptions& flops = {}) {
    auto logging =
        std::make_unique<LoggingCallback>(*run.trainer, folder_ / "metrics.jsonl", nullptr, flops);
    LoggingCallback& borrowed = *logging;
    run.trainer->add_callback("logging", std::move(logging));
    return borrowed;
  }

  [[nodiscard]] std::vector<Value> lines() const {
    std::istringstream in(folder_.read("metrics.jsonl"));
    std::vector<Value> rows;
    for (std::string line; std::getline(in, line);) rows.push_back(from_json(line, "test"));
    return rows;
  }

  fixtures::TempFolder folder_;
};

TEST_F(LoggingCallbackTest, WhatDependsOnTheMachineIsApartFromWhatTheRunGives) {
  TestRun run(options_for(6));
  add_to(run);
  run.trainer->run();
  const std::vector<Value> rows = lines();
  ASSERT_EQ(rows.size(), 4U);
  std::vector<std::string> keys;
  for (const auto& [key, value] : rows[0].as_table()) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("epoch", "lr", "split", "system", "time", "train/boring/logit_bce",
                                "train/boring/logit_bce/avg", "train/total_loss",
                                "train/total_loss/avg", "update"));
  const Value& system = *rows[0].find("system");
  EXPECT_GT(system.find("samples_per_second")->as_float(), 0);
  EXPECT_GT(system.find("memory/rss_mib")->as_float(), 1);
  EXPECT_EQ(rows[1].find("system"), nullptr) << "a validation has none";
}

TEST_F(LoggingCallbackTest, SinksGetEveryLine) {
  TestRun run(options_for(6));
  Notes notes;
  LoggingCallback& logging = add_to(run);
  logging.add_sink(notes);
  run.trainer->run();
  logging.log_evaluation({2, 5, 0, 0}, "test", "best", {{"test/total_loss", 0.5}});
  std::vector<std::string> seen;
  for (const Written& line : notes.written) seen.push_back(concat(line.split, " ", line.update));
  EXPECT_THAT(seen, ElementsAre("train 3", "val 3", "train 6", "val 6", "test 5"));
  const Numbers& train = notes.written[0].numbers;
  EXPECT_THAT(train, Contains(Key("train/total_loss")));
  EXPECT_THAT(train, Contains(Key("lr")));
  EXPECT_THAT(train, Contains(Key("system/samples_per_second")));
  EXPECT_EQ(notes.written[4].numbers.at("test/total_loss"), 0.5);
}

TEST_F(LoggingCallbackTest, TheNormOfTheGradientsIsThereWhereItIsKnown) {
  TestRun run(options_for(6));
  LoggingCallback& logging = add_to(run);
  TrainerState state;
  state.max_updates = 6;
  logging.on_train_start(state);
  logging.on_update_end(state, {}, {});
  EXPECT_EQ(lines().back().find("grad_norm"), nullptr);
  state.grad_norm = torch::tensor(2.5);
  logging.on_update_end(state, {}, {});
  EXPECT_EQ(lines().back().find("grad_norm")->as_float(), 2.5);
}

TEST_F(LoggingCallbackTest, TheLineSaysHowFastWithWhatMemoryAndWhereTheTimeGoes) {
  TestRun run(options_for(6));
  LoggingCallback& logging = add_to(run, {.count = true});
  add_log_file(folder_ / "log.txt");
  run.trainer->run();
  logging.sync();
  const std::string log = folder_.read("log.txt");
  EXPECT_THAT(log, testing::ContainsRegex(
                       "\\[train\\] update 3/6: lr [0-9.e-]+, train/boring/logit_bce [0-9.]+, "
                       "train/total_loss [0-9.]+, [0-9]+ samples/s \\(average [0-9]+\\), "
                       "[0-9.]+ updates/s, [0-9.e-]+ GFLOP/s, [0-9]+ MiB, 0:00:0[0-9] left "
                       "\\([a-z]+ [0-9]+%.*\\)\n"));
  EXPECT_THAT(log, Not(HasSubstr("/avg")));
  EXPECT_NE(lines()[0].find("system")->find("tflops_per_second"), nullptr);
}

// The updates alone would take minutes.
TEST_F(LoggingCallbackTest, TheTimeLeftIsNoMoreThanMaxTimeLeaves) {
  TrainerOptions options = options_for(10'000'000);
  options.log_interval = 1;
  options.max_seconds = 0.02;
  TestRun run(options);
  add_to(run);
  run.trainer->run();
  int seen = 0;
  for (const Value& row : lines()) {
    const Value* const left = row.find("system.seconds_left");
    if (left == nullptr) continue;  // a validation
    ++seen;
    EXPECT_LE(left->as_float(), 0.02);
  }
  EXPECT_GT(seen, 0);
}

TEST_F(LoggingCallbackTest, NoNumbersAreSaidSo) {
  EXPECT_EQ(format_numbers({}), "no loss and no metric");
}

TEST_F(LoggingCallbackTest, ARateKeepsFiveDigitsThatCount) {
  EXPECT_EQ(format_numbers({{"lr", 0.05}, {"a", 0.05}, {"b", 0.00012345}}),
            "a 0.0500, b 1.234e-04, lr 0.05");
  EXPECT_EQ(format_numbers({{"lr", 2.34567e-05}}), "lr 2.3457e-05");
}

}  // namespace
}  // namespace pergola::host
