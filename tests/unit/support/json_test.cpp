// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/json.h"

#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pergola::host {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string complaint(const std::string& text) {
  return test::error_of([&] { (void)from_json(text, "q.json"); }, ErrorKind::kData);
}

TEST(JsonTest, ReadsEveryKindOfValue) {
  const Value value = from_json(R"({"a": [1, -2.5, true, null], "b": {"c": "\u00e9"}})", "f.json");
  EXPECT_EQ(value.find("a[0]")->as_integer(), 1);
  EXPECT_EQ(value.find("a[0]")->type(), Value::Type::kInteger);
  EXPECT_EQ(value.find("a[1]")->as_float(), -2.5);
  EXPECT_TRUE(value.find("a[2]")->as_boolean());
  EXPECT_TRUE(value.find("a[3]")->is_null());
  EXPECT_EQ(value.find("b.c")->as_string(), "\xc3\xa9");
  EXPECT_EQ(value.find("b")->origin(), "f.json");
}

TEST(JsonTest, WritesWhatItReads) {
  const std::string text =
      R"({"a":[1,-2.5,true,null,[],{}],"b":{"c":"é\n"},"n":9223372036854775807})";
  EXPECT_EQ(to_json(from_json(text, "f.json")), text);
}

TEST(JsonTest, FloatsKeepTheirValueAndTheirType) {
  for (const double number : {0.1, 1.0, 1e300, 5e-324, 1.0 / 3.0}) {
    const Value back = from_json(to_json(Value(number)), "f.json");
    EXPECT_EQ(back.type(), Value::Type::kFloat);
    EXPECT_EQ(back.as_float(), number);
  }
}

TEST(JsonTest, IndentsWhenAsked) {
  Value table;
  table["a"] = 1;
  EXPECT_EQ(to_json(table, 2), "{\n  \"a\": 1\n}");
}

TEST(JsonTest, WritesNullForWhatJsonCannotSay) {
  EXPECT_EQ(to_json(Value(Value::Array{std::nan(""), std::numeric_limits<double>::infinity()})),
            "[null,null]");
}

TEST(JsonTest, WritesTextThatIsNotUtf8) { EXPECT_EQ(to_json(Value("a\xff")), "\"a\xef\xbf\xbd\""); }

TEST(JsonTest, TheLastOfTwoEqualKeysCounts) {
  EXPECT_EQ(from_json(R"({"a": [1], "a": 2})", "f").find("a")->as_integer(), 2);
}

TEST(JsonTest, SaysWhereTheMistakeIs) {
  // The mistake is the x, the 8th character of the second line. Between the two texts is the
  // parser's own reason.
  const std::string message = complaint("{\n  \"a\": x\n}");
  EXPECT_THAT(message,
              StartsWith("q.json:2:8 is not valid JSON: syntax error while parsing value"));
  EXPECT_THAT(message, EndsWith("; correct the file, or make it anew"));
}

TEST(JsonTest, SaysThatTheEndIsMissing) {
  EXPECT_THAT(complaint("[1, 2"), HasSubstr("unexpected end of input"));
  EXPECT_THAT(complaint(""), StartsWith("q.json:1:1 is not valid JSON: "));
  EXPECT_THAT(complaint("{} {}"), StartsWith("q.json:1:4 is not valid JSON: "));
}

TEST(JsonTest, RefusesTextThatIsNotUtf8) {
  const std::string message = complaint("[\"\xff\x01\"]");
  EXPECT_THAT(message, StartsWith("q.json:1:3 is not valid JSON: "));
  EXPECT_EQ(message.find('\xff'), std::string::npos);
}

TEST(JsonTest, RefusesNumbersThatDoNotFit) {
  EXPECT_EQ(
      complaint("[\n9223372036854775808]"),
      "q.json:2:20 is not usable JSON: the integer 9223372036854775808 does not fit 64 bits with a "
      "sign; write it as a string or a float");
  EXPECT_THAT(complaint("[1e999]"), HasSubstr("number overflow parsing '1e999'"));
}

TEST(JsonTest, RefusesDeepNesting) {
  EXPECT_EQ(complaint(std::string(1'000'000, '[')),
            "q.json:1:201 is not usable JSON: it is nested deeper than 200 levels; flatten it");
  EXPECT_NO_THROW((void)from_json(std::string(200, '[') + std::string(200, ']'), "f"));
}

}  // namespace
}  // namespace pergola::host
