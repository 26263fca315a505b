// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::IsNan;

TEST(ReportMetricsTest, LinesBecomeColumnsBySplit) {
  const Metrics metrics = parse_metrics(
      R"({"epoch":0,"split":"train","time":100.5,"train/total_loss":2,"update":10})"
      "\n"
      R"({"epoch":1,"split":"val","time":101.5,"val/total_loss":1.5,"update":10})"
      "\n"
      R"({"epoch":1,"lr":0.1,"split":"train","time":102.5,"train/total_loss":1,"update":20})"
      "\n");
  const Track& train = metrics.tracks.at("train");
  EXPECT_THAT(train.update, ElementsAre(10, 20));
  EXPECT_THAT(train.time, ElementsAre(100.5, 102.5));
  EXPECT_THAT(train.series.at("train/total_loss").values, ElementsAre(2, 1));
  EXPECT_THAT(train.series.at("lr").rows, ElementsAre(1U));
  EXPECT_EQ(train.series.count("update"), 0U);
  EXPECT_EQ(metrics.lines, 3U);
  EXPECT_EQ(metrics.last_update, 20);
  EXPECT_EQ(metrics.first_time, 100.5);
  EXPECT_EQ(metrics.last_time, 102.5);
}

TEST(ReportMetricsTest, NestedNumbersAreFoundAndOtherValuesPassedOver) {
  const Metrics metrics = parse_metrics(
      R"({"split":"train","update":1,"system":{"seconds/data":0.5,"memory":{"rss":3}},"note":"x","list":[1],"flag":true})"
      "\n");
  std::vector<std::string> keys;
  for (const auto& [key, series] : metrics.tracks.at("train").series) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("system/memory/rss", "system/seconds/data"));
}

TEST(ReportMetricsTest, WhatIsNoNumberIsNaN) {
  const Metrics metrics = parse_metrics(
      "{\"split\":\"train\",\"update\":1,\"a\":null}\n"
      "{\"split\":\"train\",\"update\":2,\"a\":1e305}\n");
  EXPECT_THAT(metrics.tracks.at("train").series.at("a").values, ElementsAre(IsNan(), IsNan()));
}

// A run is writing, or was killed while it wrote, or a power cut left zeros.
TEST(ReportMetricsTest, HalfALineAndDamagedLinesAreLeftOutAndCounted) {
  const std::string line = "{\"split\":\"train\",\"update\":1,\"a\":1}\n";
  const Metrics metrics = parse_metrics(line + "{\"upd\n" + std::string(9, '\0') + "\n[1]\n" +
                                        "{\"a\":2}\n" + line + "{\"split\":\"tra");
  EXPECT_EQ(metrics.lines, 2U);
  EXPECT_EQ(metrics.damaged_lines, 4U);
  EXPECT_TRUE(metrics.last_is_half_done);
  EXPECT_EQ(metrics.tracks.at("train").series.at("a").values.size(), 2U);
  EXPECT_FALSE(parse_metrics(line).last_is_half_done);
  EXPECT_EQ(parse_metrics("").lines, 0U);
}

TEST(ReportMetricsTest, LinesOfTheEvaluationAfterTrainingStandApart) {
  const Metrics metrics = parse_metrics(
      R"({"checkpoint":"best","epoch":6,"split":"test","test/total_loss":0.5,"update":60})"
      "\n");
  EXPECT_TRUE(metrics.tracks.empty());
  ASSERT_EQ(metrics.final_lines.size(), 1U);
  EXPECT_EQ(metrics.final_lines[0].checkpoint, "best");
  EXPECT_EQ(metrics.final_lines[0].numbers.at("test/total_loss"), 0.5);
}

// A line of epoch 1 is of update 100 to 199; the validation at the end of epoch 2 is at 200.
TEST(ReportMetricsTest, FindsTheUpdatesOfAnEpoch) {
  const std::string log =
      "{\"epoch\":0,\"split\":\"train\",\"update\":90}\n"
      "{\"epoch\":1,\"split\":\"train\",\"update\":180}\n";
  EXPECT_EQ(parse_metrics(log).updates_per_epoch, 180);
  const Metrics more = parse_metrics(log + "{\"epoch\":2,\"split\":\"val\",\"update\":200}\n");
  EXPECT_EQ(more.updates_per_epoch, 100);
  EXPECT_EQ(more.last_epoch, 2);
}

}  // namespace
}  // namespace pergola::host
