// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/overrides.h"

#include "host/config/toml.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;

Value value_of(const std::string& text) { return parse_override("k=" + text).value; }

std::string applied(const std::string& base, const std::vector<std::string>& words) {
  Value root = parse_toml(base, "x.toml");
  std::vector<Override> overrides;
  for (const std::string& word : words) overrides.push_back(parse_override(word));
  apply_overrides(root, overrides);
  return to_string(root);
}

std::string override_complaint(const std::string& base, const std::vector<std::string>& words) {
  return test::error_of([&] { (void)applied(base, words); });
}

TEST(OverridesTest, ValuesAreToml) {
  EXPECT_EQ(value_of("64"), Value(64));
  EXPECT_EQ(value_of("1e-3"), Value(0.001));
  EXPECT_EQ(value_of("false"), Value(false));  // and not the string that MMF made of it
  EXPECT_EQ(value_of("\"a b\""), Value("a b"));
  EXPECT_EQ(value_of("[1, 2]"), Value(Value::Array{1, 2}));
  EXPECT_EQ(to_string(value_of("{a = 1, b = [2]}")), "{a = 1, b = [2]}");
}

TEST(OverridesTest, WhatIsNotTomlIsAString) {
  for (const char* text : {"pythia", "runs/a b", "False", "1,2", "1 # 2", "1], [2", "00123", "a=b",
                           "2026-01-31", "it's", "1,", "x\ny", "1\nb = 2"}) {
    EXPECT_EQ(value_of(text), Value(text)) << text;
  }
}

TEST(OverridesTest, NothingIsTheEmptyString) { EXPECT_EQ(value_of(""), Value("")); }

TEST(OverridesTest, AStringIsTakenAsItStands) {
  for (const char* text : {"[a", "\"a", "{", "64", "true", "a\nb"}) {
    const Override change = string_override("env.save_dir", text);
    EXPECT_EQ(change.value, Value(text));
    EXPECT_EQ(change.value.origin(), "command line");
    EXPECT_EQ(change.path, parse_override("env.save_dir=x").path);
  }
  EXPECT_EQ(string_override("a", "${HOME}").value, Value("$${HOME}"));  // no reference
}

TEST(OverridesTest, SayWhereTheyCameFrom) {
  const Value value = value_of("[{a = 1}]");
  EXPECT_EQ(value.origin(), "command line");
  EXPECT_EQ(value.find("[0].a")->origin(), "command line");
}

TEST(OverridesTest, WhatBeginsLikeTomlMustBeToml) {
  EXPECT_EQ(test::error_of([] { (void)parse_override("training.lr_steps=[1, 2"); }),
            "'training.lr_steps=[1, 2' on the command line: the value begins like TOML but is not, "
            "expected \"text\", [1, 2] or {a = 1}; complete it, and quote the whole word for the "
            "shell");
}

TEST(OverridesTest, IntegersBeyond64BitsAreNoStrings) {
  EXPECT_EQ(test::error_of([] { (void)parse_override("training.seed=99999999999999999999"); }),
            "'training.seed=99999999999999999999' on the command line has an integer out of range; "
            "expected one from -9223372036854775808 to 9223372036854775807, or \"text\" in quotes");
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "0xfffffffffffffffff",
                           "9_999_999_999_999_999_999", "[1, 99999999999999999999]"}) {
    EXPECT_THAT(test::error_of([&] { (void)value_of(text); }), HasSubstr("out of range"));
  }
  for (const char* text : {"99999999999999999999 monkeys", "99999999999999999999abc", "007"}) {
    EXPECT_EQ(value_of(text), Value(text));
  }
  EXPECT_EQ(value_of("-9223372036854775808"), Value(INT64_MIN));
  EXPECT_EQ(value_of("\"99999999999999999999\""), Value("99999999999999999999"));
  EXPECT_EQ(value_of("runs/99999999999999999999"), Value("runs/99999999999999999999"));
}

TEST(OverridesTest, NeedAnEqualsSign) {
  EXPECT_EQ(test::error_of([] { (void)parse_override("--batch"); }),
            "'--batch' on the command line has no '='; expected key=value, such as "
            "training.batch_size=64");
}

TEST(OverridesTest, NeedAPath) {
  EXPECT_EQ(
      test::error_of([] { (void)parse_override("a..b=1"); }),
      "'a..b=1' on the command line: 'a..b' is not a path; expected words of letters, digits, _ "
      "and - with dots between them, such as training.batch_size=64 or "
      "training.lr_steps[1]=10000");
  for (const char* text : {"=1", "a.=1", ".a=1", "a[=1", "a[]=1", "a[x]=1", "a[-1]=1", "[1]=1",
                           "a b=1", "a[1]b=1", "a[99999999999999999999]=1"}) {
    test::error_of([&] { (void)parse_override(text); });
  }
  std::string deep = "a";
  for (int i = 0; i < 10'000; ++i) deep += ".a";
  test::error_of([&] { (void)parse_override(deep + "=1"); });
}

TEST(OverridesTest, GoOverTheConfigAndMakeTablesOnTheWay) {
  EXPECT_EQ(applied("a = {b = 1}", {"a.b=2", "c.d.e=3"}), "{a = {b = 2}, c = {d = {e = 3}}}");
}

TEST(OverridesTest, TheLastOfTwoCounts) {
  EXPECT_EQ(applied("", {"a=1", "a=2"}), "{a = 2}");
  EXPECT_EQ(applied("", {"a.b=1", "a=2"}), "{a = 2}");
}

TEST(OverridesTest, SetOneElement) {
  EXPECT_EQ(applied("a = {steps = [1, 2]}", {"a.steps[1]=5"}), "{a = {steps = [1, 5]}}");
  EXPECT_EQ(applied("m = [{type = 'x', params = {p = 1}}]", {"m[0].params.p=2"}),
            "{m = [{params = {p = 2}, type = \"x\"}]}");
  EXPECT_EQ(applied("m = [[1], [2]]", {"m[1][0]=3"}), "{m = [[1], [3]]}");
}

TEST(OverridesTest, ElementsAreSetAfterWholeArrays) {
  EXPECT_EQ(applied("", {"a[0]=5", "a=[1, 2]"}), "{a = [5, 2]}");
}

TEST(OverridesTest, AnotherTypeDropsTheParamsOfTheFileButNotThoseOfTheCommandLine) {
  const std::string file = "o = {type = 'adam', params = {eps = 1}}";
  const std::string expected = "{o = {params = {lr = 2}, type = \"sgd\"}}";
  EXPECT_EQ(applied(file, {"o.type=sgd", "o.params.lr=2"}), expected);
  EXPECT_EQ(applied(file, {"o.params.lr=2", "o.type=sgd"}), expected);
  EXPECT_EQ(applied("l = [{type = 'a', params = {x = 1}}]", {"l[0].type=b"}),
            "{l = [{type = \"b\"}]}");
}

TEST(OverridesTest, DoNotLeadThroughPlainValues) {
  EXPECT_EQ(
      override_complaint("a = {b = 64}", {"a.b.c=1"}),
      "'a.b.c' on the command line leads through a.b = 64 (x.toml:1:10), which is an integer; "
      "expected a table");
  EXPECT_EQ(override_complaint("", {"a=1", "a.b=2"}),
            "'a.b' on the command line leads through a = 1 (command line), which is an integer; "
            "expected a table");
  EXPECT_EQ(
      override_complaint("a = [1]", {"a[0].b=2"}),
      "'a[0].b' on the command line leads through a[0] = 1 (x.toml:1:6), which is an integer; "
      "expected a table");
  EXPECT_EQ(override_complaint("a = 1", {"a[0]=2"}),
            "'a[0]' on the command line leads through a = 1 (x.toml:1:5), which is an integer; "
            "expected an array");
}

TEST(OverridesTest, DoNotMakeElements) {
  EXPECT_EQ(override_complaint("t = {a = [1, 2]}", {"t.a[2]=1"}),
            "'t.a[2]' on the command line: t.a has 2 elements (x.toml:1:10), so there is no [2]; "
            "give the whole array instead: t.a=[...]");
  EXPECT_EQ(override_complaint("", {"t.a[0]=1"}),
            "'t.a[0]' on the command line: t is not set, so it has no elements; give the whole "
            "array instead");
}

}  // namespace
}  // namespace pergola::host
