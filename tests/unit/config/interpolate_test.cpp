// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/interpolate.h"

#include "host/config/toml.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
namespace pergola::host {
namespace {

using ::testing::HasSubstr;

class InterpolateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PERGOLA_TEST_SET", "value", /*replace=*/1);
    ::setenv("PERGOLA_TEST_EMPTY", "", /*replace=*/1);
    ::unsetenv("PERGOLA_TEST_UNSET");
  }
  void TearDown() override {
    ::unsetenv("PERGOLA_TEST_SET");
    ::unsetenv("PERGOLA_TEST_EMPTY");
  }
};

// What `x` of this config becomes.
Value x_of(const std::string& text) {
  return *resolve_references(parse_toml(text, "x.toml")).find("x");
}

std::string reference_complaint(const std::string& text) {
  return test::error_of([&] { (void)x_of(text); });
}

TEST_F(InterpolateTest, TakesTheEnvironment) {
  EXPECT_EQ(x_of("x = 'a/${env:PERGOLA_TEST_SET}/b'"), Value("a/value/b"));
  EXPECT_EQ(x_of("x = '${env:PERGOLA_TEST_SET,other}'"), Value("value"));
}

TEST_F(InterpolateTest, TakesTheDefaultWhenTheVariableIsUnsetOrEmpty) {
  EXPECT_EQ(x_of("x = '${env:PERGOLA_TEST_UNSET,a, b}'"), Value("a, b"));
  EXPECT_EQ(x_of("x = '${env:PERGOLA_TEST_EMPTY,a}'"), Value("a"));
  EXPECT_EQ(x_of("x = '${env:PERGOLA_TEST_UNSET,}'"), Value(""));
}

TEST_F(InterpolateTest, DefaultsMayHoldReferences) {
  EXPECT_EQ(x_of("y = 'k'\nx = '${env:PERGOLA_TEST_UNSET,${env:PERGOLA_TEST_SET}/${y}}!'"),
            Value("value/k!"));
}

TEST_F(InterpolateTest, TakesOtherKeys) {
  EXPECT_EQ(x_of("x = 'runs/${t.name}_${t.seed}_${t.list[1]}'\n[t]\nname = 'a'\nseed = 3\n"
                 "list = [1, 2.5]"),
            Value("runs/a_3_2.5"));
}

TEST_F(InterpolateTest, FollowsChains) {
  EXPECT_EQ(x_of("x = '${a}'\na = '${b}'\nb = 7"), Value(7));
}

TEST_F(InterpolateTest, AStringThatIsOneReferenceBecomesTheValue) {
  EXPECT_EQ(x_of("x = '${a}'\na = {b = [1, '${c}']}\nc = true"),
            Value(Value::Table{{"b", Value::Array{1, true}}}));
}

TEST_F(InterpolateTest, TheValueKeepsThePlaceOfTheReference) {
  EXPECT_EQ(x_of("x = '${a}'\na = 1").origin(), "x.toml:1:5");
}

TEST_F(InterpolateTest, TwoDollarsAreNoReference) {
  EXPECT_EQ(x_of("x = '$${a}'"), Value("${a}"));
  EXPECT_EQ(x_of("x = 'a $b {c} $'"), Value("a $b {c} $"));
}

TEST_F(InterpolateTest, EscapedTextComesBackAsItIs) {
  for (const std::string text : {"${a}", "$${a}", "$$${", "$", "{}", "a${b}c${d"}) {
    Value root;
    root["x"] = escape_references(text);
    EXPECT_EQ(*resolve_references(root).find("x"), Value(text));
  }
}

TEST_F(InterpolateTest, SaysThatAVariableIsNotSet) {
  EXPECT_EQ(reference_complaint("x = '${env:PERGOLA_TEST_UNSET}'"),
            "x = \"${env:PERGOLA_TEST_UNSET}\" (x.toml:1:5) needs the environment variable "
            "PERGOLA_TEST_UNSET, which is not set; set it, or write "
            "${env:PERGOLA_TEST_UNSET,default}");
}

TEST_F(InterpolateTest, SaysThatAKeyIsNotSet) {
  EXPECT_EQ(reference_complaint("x = 'a${t.nmae}'\n[t]\nname = 1"),
            "x = \"a${t.nmae}\" (x.toml:1:5) refers to t.nmae, which is not set; did you mean "
            "'t.name'?");
  EXPECT_THAT(reference_complaint("x = '${}'"), HasSubstr("refers to nothing, which is not set"));
}

TEST_F(InterpolateTest, SaysThatAReferenceGoesInACircle) {
  EXPECT_EQ(reference_complaint("x = '${a.b}'\na = {b = '${c}'}\nc = '1${x}'"),
            "x = \"${a.b}\" (x.toml:1:5) refers to itself: a.b -> c -> x -> a.b");
  EXPECT_THAT(reference_complaint("x = '${x}'"), HasSubstr("refers to itself: x -> x"));
  EXPECT_THAT(reference_complaint("x = {y = '${x}'}"), HasSubstr("refers to itself: x.y -> x.y"));
}

TEST_F(InterpolateTest, SaysThatTheEndIsMissing) {
  EXPECT_EQ(reference_complaint("x = 'a${b'"),
            "x = \"a${b\" (x.toml:1:5) has a ${ without its }; write $${ for a plain ${");
}

TEST_F(InterpolateTest, SaysThatATableIsNoText) {
  EXPECT_EQ(
      reference_complaint("x = 'a${t}'\nt = {}"),
      "x = \"a${t}\" (x.toml:1:5) has ${t} within a text, which is a table; expected a string, "
      "a number or a boolean");
}

// Each of 15 keys is twice the next: 2^14 copies of 10 kB would be 160 MB.
TEST_F(InterpolateTest, DoesNotUnfoldToTheWholeMemory) {
  std::string text = "x = '${k0}'\n";
  for (int i = 0; i < 14; ++i) {
    const std::string next = "${k" + std::to_string(i + 1) + "}";
    text += "k" + std::to_string(i) + " = '" + next + next + "'\n";
  }
  text += "k14 = '" + std::string(10'000, 'x') + "'\n";
  EXPECT_EQ(reference_complaint(text),
            "the config's ${...} references unfold to more than 64 MB; refer to smaller values");
}

// Each of ten arrays is four times the next: 4^10 booleans are some bytes of text, and 64 times as
// much of memory.
TEST_F(InterpolateTest, CountsWhatSmallValuesTakeInMemory) {
  std::string text = "x = '${k0}'\n";
  for (int i = 0; i < 10; ++i) {
    const std::string next = concat("'${k", i + 1, "}'");
    text += concat("k", i, " = [", next, ",", next, ",", next, ",", next, "]\n");
  }
  EXPECT_EQ(reference_complaint(text + "k10 = true\n"),
            "the config's ${...} references unfold to more than 64 MB; refer to smaller values");
}

TEST_F(InterpolateTest, RefusesLongChainsAndDeepDefaults) {
  std::string chain = "x = '${k0}'\n";
  for (int i = 0; i < 1000; ++i) {
    chain += "k" + std::to_string(i) + " = '${k" + std::to_string(i + 1) + "}'\n";
  }
  EXPECT_THAT(reference_complaint(chain + "k1000 = 1"),
              HasSubstr("is a chain of more than 16 references"));
  std::string deep = "x = '";
  for (int i = 0; i < 10'000; ++i) deep += "${env:PERGOLA_TEST_UNSET,";
  EXPECT_THAT(reference_complaint(deep + std::string(10'000, '}') + "'"),
              HasSubstr("has more than 32 defaults within one another"));
}

TEST_F(InterpolateTest, OnePathIsResolvedWhateverTheRestIs) {
  const Value root = parse_toml("a = '${none}'\nx = '${y}'\ny = 1", "x.toml");
  EXPECT_EQ(resolve_references_at(root, "x"), Value(1));
  EXPECT_TRUE(resolve_references_at(root, "z").is_null());
}

}  // namespace
}  // namespace pergola::host
