// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/predictions.h"

#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string row(const std::string& answer, const std::string& target, double probability) {
  return concat("{\"answer\":\"", answer, "\",\"target\":", target,
                ",\"probability\":", probability, "}");
}

std::string file_of(const std::vector<std::string>& rows) {
  std::string text;
  for (const std::string& each : rows) text += (text.empty() ? "[\n" : ",\n") + each;
  return text + "\n]\n";
}

std::vector<Prediction> samples(const std::string& json, std::size_t most = 10) {
  return read_predictions(json, "p", most).samples;
}

TEST(ReportPredictionsTest, ARowIsReadWithItsOtherValues) {
  const auto rows = samples(file_of(
      {R"({"answer":"red","id":7,"image":["a.png","b.png"],"probability":0.5,"scores":[1,2],"sure":0.25,"target":["Red ","blue"],"text":"which?"})"}));
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].question, "which?");
  EXPECT_EQ(rows[0].answer, "red");
  EXPECT_THAT(rows[0].images, ElementsAre("a.png", "b.png"));
  EXPECT_THAT(rows[0].targets, ElementsAre("Red ", "blue"));
  EXPECT_EQ(rows[0].probability, 0.5);
  EXPECT_EQ(rows[0].verdict, Verdict::kRight);
  EXPECT_EQ(rows[0].more, "id 7, scores [1,2], sure 0.25");
}

TEST(ReportPredictionsTest, AnswersAreJudgedByTheTarget) {
  const PredictionFile file =
      read_predictions(file_of({row("yes", "\"yes\"", 0.5), row("yes", "\"no\"", 0.25),
                                row("3", "3", 0.125), R"({"answer":"yes"})", "{}"}),
                       "p", 10);
  EXPECT_EQ(file.rows, 5U);
  EXPECT_EQ(file.right, 2U);
  EXPECT_EQ(file.wrong, 1U);
  EXPECT_EQ(file.count(Verdict::kUnknown), 2U);
  std::vector<double> order;
  for (const Prediction& each : file.samples) order.push_back(each.probability);
  EXPECT_THAT(order, ElementsAre(0.25, 0.5, 0.125, ::testing::IsNan(), ::testing::IsNan()));
}

// Of 100 wrong ones the five surest, 0.96 to 1; of 300 right ones five that are spread.
TEST(ReportPredictionsTest, OfManyRowsTheSurestWrongAndSomeRight) {
  std::vector<std::string> rows;
  for (int i = 1; i <= 100; ++i) rows.push_back(row("a", "\"b\"", i / 100.0));
  for (int i = 0; i < 300; ++i) rows.push_back(row("a", "\"a\"", i / 1000.0));
  const PredictionFile file = read_predictions(file_of(rows), "p", 10);
  EXPECT_EQ(file.wrong, 100U);
  EXPECT_EQ(file.right, 300U);
  ASSERT_THAT(file.samples, SizeIs(10));
  EXPECT_EQ(file.samples[0].probability, 1);
  EXPECT_EQ(file.samples[4].probability, 0.96);  // wrong ones come first
  EXPECT_EQ(file.count(Verdict::kRight), 5U);
  EXPECT_EQ(file.samples[9].probability, 0);     // the first right one
  EXPECT_GT(file.samples[5].probability, 0.15);  // and one of the second half
}

TEST(ReportPredictionsTest, FewOfOneKindLeaveRoomForTheOther) {
  std::vector<std::string> rows = {row("a", "\"b\"", 0.5)};
  for (int i = 0; i < 30; ++i) rows.push_back(row("a", "\"a\"", 0.5));
  const PredictionFile mostly_right = read_predictions(file_of(rows), "p", 10);
  EXPECT_EQ(mostly_right.count(Verdict::kWrong), 1U);
  EXPECT_EQ(mostly_right.count(Verdict::kRight), 9U);
  rows = {row("a", "\"a\"", 0.5)};
  for (int i = 0; i < 30; ++i) rows.push_back(row("a", "\"b\"", 0.5));
  const PredictionFile mostly_wrong = read_predictions(file_of(rows), "p", 10);
  EXPECT_EQ(mostly_wrong.count(Verdict::kWrong), 9U);
  EXPECT_EQ(mostly_wrong.count(Verdict::kRight), 1U);
  EXPECT_THAT(samples(file_of(rows), 0), IsEmpty());
}

TEST(ReportPredictionsTest, AnyLayoutIsReadAndDamageCounted) {
  EXPECT_THAT(samples("[]\n"), IsEmpty());
  EXPECT_THAT(samples("[{\"answer\": \"a\"},\n {\"answer\":\n \"b\"}]"), SizeIs(2));
  const PredictionFile torn =
      read_predictions("[\n" + row("a", "\"a\"", 1) + ",\n{\"answer\":\"b", "p", 10);
  EXPECT_EQ(torn.rows, 1U);
  EXPECT_EQ(torn.damaged_lines, 1U);
  EXPECT_EQ(read_predictions("no JSON", "p", 10).damaged_lines, 1U);
}

TEST(ReportPredictionsTest, ALongTextIsCutBetweenLetters) {
  std::string text(1'999, 'x');
  text += "ä and more";
  EXPECT_EQ(samples("[\n{\"text\":\"" + text + "\"}\n]")[0].question,
            std::string(1'999, 'x') + "…");
}

}  // namespace
}  // namespace pergola::host
