// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/metrics_log.h"

#include "fixtures/temp_folder.h"
#include "host/support/json.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace pergola::host {
namespace {

class MetricsLogTest : public ::testing::Test {
 protected:
  std::vector<std::int64_t> updates() {
    std::vector<std::int64_t> result;
    std::ifstream in(path_);
    for (std::string line; std::getline(in, line);) {
      result.push_back(from_json(line, "test").find("update")->as_integer());
    }
    return result;
  }
  static Progress at(std::int64_t update) { return {0, update, 0, 0}; }

  fixtures::TempFolder temp_;
  std::filesystem::path path_ = temp_.path() / "metrics.jsonl";
};

TEST_F(MetricsLogTest, EachPointIsOneObject) {
  MetricsLog(path_, 0).write({2, 30, 1, 99}, "train", {{"lr", 0.5}});
  std::ifstream in(path_);
  std::string line;
  std::getline(in, line);
  const Value row = from_json(line, "test");
  EXPECT_EQ(row.find("epoch")->as_integer(), 2);
  EXPECT_EQ(row.find("update")->as_integer(), 30);
  EXPECT_EQ(row.find("split")->as_string(), "train");
  EXPECT_EQ(row.find("lr")->as_float(), 0.5);
  EXPECT_GT(row.find("time")->as_float(), 1.6e9);
}

TEST_F(MetricsLogTest, WhatTheMachineSaysStandsApart) {
  MetricsLog(path_, 0).write(at(10), "train", {{"lr", 0.5}}, {{"samples_per_second", 300}});
  std::ifstream in(path_);
  std::string line;
  std::getline(in, line);
  const Value row = from_json(line, "test");
  EXPECT_EQ(row.find("lr")->as_float(), 0.5);
  EXPECT_EQ(row.find("samples_per_second"), nullptr);
  EXPECT_EQ(row.find("system")->find("samples_per_second")->as_float(), 300);
}

// A signal cut the validation of update 20 short, a process that resumed it was killed after it had
// written the line: the next one validates, and writes it, again.
TEST_F(MetricsLogTest, TheLineOfAValidationThatIsToBeDoneIsDropped) {
  {
    MetricsLog log(path_, 0);
    log.write(at(10), "val", {});
    log.write(at(20), "train", {});
    log.write(at(20), "val", {});
  }
  { const MetricsLog log(path_, 20); }
  EXPECT_EQ(updates(), (std::vector<std::int64_t>{10, 20, 20}));
  { const MetricsLog log(path_, 20, MetricsLog::LastValidation::kPending); }
  EXPECT_EQ(updates(), (std::vector<std::int64_t>{10, 20}));
}

TEST_F(MetricsLogTest, AResumedRunHasNoLineTwice) {
  {
    MetricsLog log(path_, 0);
    for (const std::int64_t update : {10, 20, 30}) log.write(at(update), "train", {});
  }
  MetricsLog(path_, 20).write(at(30), "train", {});
  EXPECT_EQ(updates(), (std::vector<std::int64_t>{10, 20, 30}));
}

TEST_F(MetricsLogTest, LinesOfAFinalEvaluationNameTheirCheckpointAndGoWhenTheRunGoesOn) {
  {
    MetricsLog log(path_, 0);
    log.write(at(10), "train", {});
    log.write_final(at(10), "test", "best", {{"test/total_loss", 0.5}});
  }
  std::ifstream in(path_);
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(from_json(line, "test").find("checkpoint"), nullptr);
  std::getline(in, line);
  EXPECT_EQ(from_json(line, "test").find("checkpoint")->as_string(), "best");
  MetricsLog(path_, 10).write(at(20), "train", {});
  EXPECT_EQ(updates(), (std::vector<std::int64_t>{10, 20}));
}

TEST_F(MetricsLogTest, ALineThatWasNeverFinishedIsDropped) {
  MetricsLog(path_, 0).write(at(10), "train", {});
  std::ofstream(path_, std::ios::app) << "{\"update\": 2";
  MetricsLog(path_, 50).write(at(60), "train", {});
  EXPECT_EQ(updates(), (std::vector<std::int64_t>{10, 60}));
}

TEST_F(MetricsLogTest, ALineThatIsDamagedIsNamedByItsNumber) {
  {
    MetricsLog log(path_, 0);
    for (const std::int64_t update : {10, 20}) log.write(at(update), "train", {});
  }
  std::ofstream(path_, std::ios::app) << "{\"update\": 30]\n{\"update\": 40}\n";
  EXPECT_EQ(test::error_of([&] { const MetricsLog log(path_, 50); }, ErrorKind::kCheckpoint),
            path_.string() + ":3 is damaged: it is not valid JSON; remove that line, or the file");
}

// The length of a text may be on the disk before its bytes are: they are zeros then.
TEST_F(MetricsLogTest, LinesThatAPowerCutToreAreDroppedWhenNoCheckpointHasThem) {
  MetricsLog(path_, 0).write(at(10), "train", {});
  std::ofstream(path_, std::ios::app) << "{\"upd" << std::string(5, '\0') << "\n{\"update\": 30}\n";
  MetricsLog(path_, 10).write(at(20), "train", {});
  EXPECT_EQ(updates(), (std::vector<std::int64_t>{10, 20}));
}

TEST_F(MetricsLogTest, ATornLineBeforeOneOfTheCheckpointIsDamage) {
  MetricsLog(path_, 0).write(at(10), "train", {});
  std::ofstream(path_, std::ios::app) << "{\"upd" << std::string(5, '\0') << "\n{\"update\": 30}\n";
  EXPECT_EQ(test::error_of([&] { const MetricsLog log(path_, 30); }, ErrorKind::kCheckpoint),
            path_.string() + ":2 is damaged: it is not valid JSON; remove that line, or the file");
}

TEST_F(MetricsLogTest, AFileThatIsNoMetricsLogIsRefusedAndKept) {
  std::ofstream(path_) << "hello\n";
  EXPECT_THROW(MetricsLog(path_, 0), Error);
  EXPECT_EQ(std::filesystem::file_size(path_), 6U);
}

}  // namespace
}  // namespace pergola::host
