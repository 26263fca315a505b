// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/curves.h"

#include "host/report/chart_data.h"
#include "host/report/svg.h"
#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsNan;
using ::testing::SizeIs;

// A line of metrics.jsonl; a second passes with each update.
std::string line(const std::string& split, int update, const std::string& numbers) {
  return concat("{\"split\":\"", split, "\",\"update\":", update, ",\"time\":", 1000 + update, ",",
                numbers, "}\n");
}

Curves curves_of(const std::string& text) { return make_curves(parse_metrics(text)); }

// "Losses: total_loss (train~, val)", with ~ where a smoothed line is drawn.
std::vector<std::string> names(const Curves& curves) {
  std::vector<std::string> result;
  for (const Chart& chart : curves.charts) {
    std::string labels;
    for (const Curve& curve : chart.curves) {
      labels += (labels.empty() ? "" : ", ") + curve.label + (curve.smooth ? "~" : "");
    }
    result.push_back(concat(chart.group, ": ", chart.title, " (", labels, ")"));
  }
  return result;
}

TEST(CurvesTest, NumbersAreGroupedAndSplitsShareAChart) {
  const std::string train =
      R"("lr":0.1,"lr/head":0.2,"grad_norm":2,"train/total_loss":3,"train/total_loss/avg":3,)"
      R"("train/d/mlm":1,"train/d/mlm/avg":1,"train/d/bce":2,"train/d/bce/avg":2,"odd":7,)"
      R"("system":{"samples_per_second":9,"samples_per_second/avg":9,"updates_per_second":1,)"
      R"("seconds":2,"seconds/data":1,"seconds_left":3,"memory/rss_mib":5,)"
      R"("memory/device_peak_mib":6,"mfu":0.4})";
  const std::string val = R"("val/total_loss":3,"val/d/mlm":1,"val/d/bce":2,"val/d/accuracy":0.5)";
  EXPECT_THAT(
      names(curves_of(line("train", 1, train) + line("val", 1, val))),
      ElementsAre("Losses: total_loss (train~, val)", "Losses: d/bce (train~, val)",
                  "Losses: d/mlm (train~, val)", "Metrics: d/accuracy (val)",
                  "Learning rate: lr (train, head)", "Gradients: grad_norm (train~)",
                  "Speed and memory: memory (MiB) (device peak, rss)",
                  "Speed and memory: mfu (train~)", "Speed and memory: samples per second (train~)",
                  "Other numbers: odd (train~)"));
}

TEST(CurvesTest, TheSumOfOneLossIsDrawnOnce) {
  const std::string numbers = R"("train/total_loss":3,"train/d/bce":3,"train/d/bce/avg":3)";
  EXPECT_THAT(names(curves_of(line("train", 1, numbers))),
              ElementsAre("Losses: total_loss = d/bce (train~)"));
}

TEST(CurvesTest, AShortRunKeepsEachPoint) {
  std::string text;
  for (int i = 1; i <= 600; ++i) text += line("train", i, concat("\"a\":", i));
  const Curves curves = curves_of(text);
  const Curve& curve = curves.charts.at(0).curves.at(0);
  EXPECT_THAT(curve.mean, SizeIs(600));
  EXPECT_THAT(curve.low, IsEmpty());
  EXPECT_EQ(curve.mean[17], 18);
  EXPECT_EQ(curves.tracks[0].update[17], 18);
  EXPECT_EQ(curves.tracks[0].time[17], 17);  // since the first line
  EXPECT_GT(curves.smoothing, 0);
}

// 6,000 lines on 600 columns are ten a column; the one of line 3,000 has a spike and a hole.
TEST(CurvesTest, ALongRunKeepsLowestMeanAndHighestOfEachColumn) {
  std::string text;
  for (int i = 0; i < 6000; ++i) {
    text += line("train", i, concat("\"a\":", i == 3000 ? "1000" : i == 3001 ? "-1000" : "1"));
  }
  const Curves curves = curves_of(text);
  const Curve& curve = curves.charts.at(0).curves.at(0);
  ASSERT_THAT(curve.mean, SizeIs(600));
  EXPECT_EQ(std::ranges::max(curve.high), 1000);
  EXPECT_EQ(std::ranges::min(curve.low), -1000);
  EXPECT_EQ(std::ranges::count(curve.high, 1.0), 599);
  EXPECT_DOUBLE_EQ(curve.mean[0], 1);
  EXPECT_THAT(curve.bad, IsEmpty());
}

TEST(CurvesTest, WhatIsNotFiniteIsAGapAndMarked) {
  const Curves curves = curves_of(line("train", 1, "\"a\":1") + line("train", 2, "\"a\":null") +
                                  line("train", 3, "\"b\":1") + line("train", 4, "\"a\":2"));
  const Curve& curve = curves.charts.at(0).curves.at(0);
  EXPECT_THAT(curve.mean, ElementsAre(1, IsNan(), 2));  // the line without it is no gap
  EXPECT_THAT(curve.columns, ElementsAre(0U, 1U, 3U));
  EXPECT_THAT(curve.bad, ElementsAre(1U));
  EXPECT_THAT(chart_data(curves), HasSubstr(R"("v":[1,null,2],"s":1,"c":[0,1,3],"bad":[1])"));
}

TEST(CurvesTest, ANaNAmongManyLinesIsStillMarked) {
  std::string text;
  for (int i = 0; i < 6000; ++i) text += line("train", i, i == 3000 ? "\"a\":null" : "\"a\":1");
  const Curves curves = curves_of(text);
  EXPECT_THAT(curves.charts.at(0).curves.at(0).bad, SizeIs(1));
}

TEST(CurvesTest, ARunThatDoesNotMoveIsDrawn) {
  const Curves curves = curves_of(line("train", 5, "\"a\":1"));
  EXPECT_EQ(curves.first_update, 5);
  EXPECT_EQ(curves.smoothing, 0);
  EXPECT_EQ(curves.last_update, 5);
  EXPECT_THAT(draw_chart(curves.charts.at(0), curves, "c").markup(), HasSubstr("h0"));
  EXPECT_THAT(make_curves(Metrics()).charts, IsEmpty());
}

TEST(CurvesTest, ThousandsOfNumbersMakeNoEndlessPage) {
  std::string numbers = "\"a0\":0";
  for (int i = 1; i < 3000; ++i) numbers += concat(",\"a", i, "\":1");
  const Curves curves = curves_of(line("train", 1, numbers) + line("train", 2, numbers));
  EXPECT_THAT(curves.charts, SizeIs(120));
  EXPECT_EQ(curves.left_out, 1000U - 120U);  // of the first thousand
}

// weight 1/2: (2 * 1/2) / (1/2) = 2; (2 * 1/4 + 4 * 1/2) / (3/4) = 10/3.
TEST(CurvesTest, SmoothingBeginsAtTheFirstValueAndSkipsGaps) {
  EXPECT_THAT(smoothed({2, NAN, 4}, 0.5),
              ElementsAre(2, IsNan(), ::testing::DoubleNear(10.0 / 3, 1e-12)));
  EXPECT_THAT(smoothed({2, 3}, 0), ElementsAre(2, 3));
}

}  // namespace
}  // namespace pergola::host
