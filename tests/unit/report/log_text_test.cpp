// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/log_text.h"

#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string numbered(int count) {
  std::string text;
  for (int i = 1; i <= count; ++i) text += concat("line ", i, "\n");
  return text;
}

TEST(LogTextTest, AShortLogIsThereWhole) {
  EXPECT_EQ(shorten_log(numbered(120)).text, numbered(120));
  EXPECT_EQ(shorten_log("half a line").text, "half a line\n");
}

// The first 40 and the last 80 of 1,121: 1,001 are left out.
TEST(LogTextTest, OfALongOneBeginAndEnd) {
  const LogText log = shorten_log(numbered(1121));
  EXPECT_EQ(log.lines, 1121U);
  EXPECT_THAT(log.text, StartsWith(numbered(40) + "\n    (1,001 lines are left out here)\n\n"));
  EXPECT_THAT(log.text, HasSubstr("\n\nline 1042\n"));
  EXPECT_THAT(log.text, EndsWith("line 1121\n"));
  EXPECT_THAT(log.text, Not(HasSubstr("line 1041\n")));
}

TEST(LogTextTest, WarningsAndErrorsAreFoundInTextAndJson) {
  const LogText log = shorten_log(
      "[12:00:00] [run] fine\n[12:00:00] warning: [data] odd\n"
      "{\"area\":\"run\",\"level\":\"error\",\"message\":\"bad\"}\n");
  EXPECT_EQ(log.all_warnings, 2U);
  EXPECT_THAT(log.warnings, ElementsAre(EndsWith("odd"), HasSubstr("bad")));
}

TEST(LogTextTest, AnEndlessLineIsCut) {
  EXPECT_EQ(shorten_log(std::string(1'000'000, 'x')).text.size(), 2001U);
}

}  // namespace
}  // namespace pergola::host
