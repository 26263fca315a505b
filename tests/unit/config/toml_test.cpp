// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/toml.h"

#include "fixtures/temp_folder.h"
#include "pergola/rng.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using test::error_of;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string syntax_complaint(const std::string& text) {
  return error_of([&] { (void)parse_toml(text, "x.toml"); });
}

std::string repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(TomlTest, ReadsEveryKindOfValue) {
  const Value value = parse_toml(
      "a = 1\nb = 2.5\nc = true\nd = 'text'\ne = [1, [2]]\n[f.g]\nh = {i = 0xff}\n", "x.toml");
  EXPECT_EQ(to_string(value),
            "{a = 1, b = 2.5, c = true, d = \"text\", e = [1, [2]], f = {g = {h = {i = 255}}}}");
}

TEST(TomlTest, EveryValueKnowsItsPlace) {
  const Value value = parse_toml("model = 'a'\n[t]\n  list = [1,\n 2]\n", "x.toml");
  EXPECT_EQ(value.find("model")->origin(), "x.toml:1:9");
  EXPECT_EQ(value.find("t")->origin(), "x.toml:2:1");
  EXPECT_EQ(value.find("t.list")->origin(), "x.toml:3:10");
  EXPECT_EQ(value.find("t.list[1]")->origin(), "x.toml:4:2");
}

TEST(TomlTest, AnEmptyFileIsAnEmptyTable) {
  EXPECT_EQ(parse_toml("", "x.toml"), Value(Value::Table{}));
  EXPECT_EQ(parse_toml("# nothing\n", "x.toml"), Value(Value::Table{}));
}

TEST(TomlTest, SaysWhereTheMistakeIs) {
  // Between the two is the parser's own reason, which differs between its versions.
  const std::string message = syntax_complaint("a = 1\nb = \n");
  EXPECT_THAT(message, StartsWith("x.toml:2:5 is not valid TOML: while parsing key-value pair: "));
  EXPECT_THAT(message, EndsWith("; correct that line"));
  EXPECT_THAT(syntax_complaint("a = 1\na = 2"), StartsWith("x.toml:2:"));
}

// The parser of toml++ 3.3 breaks on these (marzer/tomlplusplus#301).
TEST(TomlTest, RefusesBrokenTableLines) {
  for (const char* text : {"a = 1\n[[[b]]]", "[[=", "[[", "[", "[[ ]]", "[=]", "[a", "[a]]"}) {
    EXPECT_THAT(syntax_complaint(text), HasSubstr(" is not valid TOML: ")) << text;
  }
  EXPECT_EQ(syntax_complaint("[[[b]]]"),
            "x.toml is not valid TOML: a [table] or [[array]] line is broken; correct it");
}

TEST(TomlTest, RefusesDates) {
  EXPECT_EQ(syntax_complaint("day = 2026-01-31"),
            "x.toml:1:7 is a date or a time, which no key takes; write it as a string");
}

TEST(TomlTest, RefusesIntegersThatDoNotFit) {
  EXPECT_THAT(syntax_complaint("a = 99999999999999999999"),
              HasSubstr("'99999999999999999999' is not representable in 64 bits"));
  EXPECT_EQ(parse_toml("a = 9223372036854775807", "x")["a"].as_integer(), INT64_MAX);
}

TEST(TomlTest, RefusesTextThatIsNotUtf8) {
  const std::string message = syntax_complaint("a = \"\xff\xfe\"");
  EXPECT_THAT(message, StartsWith("x.toml:1:"));
  EXPECT_THAT(message, HasSubstr("is not valid TOML"));
}

TEST(TomlTest, RefusesInvisibleSpacesAndBareLettersOutsideOfAscii) {
  const std::string expected =
      "x.toml:2 is not valid TOML: a character outside of ASCII stands outside of quotes; put it "
      "in "
      "quotes, or delete it";
  EXPECT_EQ(syntax_complaint("a = 1\nb =\xc2\xa0"
                             "2"),
            expected);  // a no-break space, pasted from somewhere
  EXPECT_EQ(syntax_complaint("a = 1\n\xc3\xa9 = 2"), expected);
}

TEST(TomlTest, TakesLettersOutsideOfAsciiInQuotesAndComments) {
  const Value value = parse_toml(
      "\xef\xbb\xbf# \xc3\xa9\n\"\xc3\xa9\" = '\xc3\xa9'\nb = \"\"\"x \\\n \xc3\xa9\"\"\"",
      "x.toml");
  EXPECT_EQ(value.find("\xc3\xa9")->as_string(), "\xc3\xa9");
  EXPECT_EQ(value.find("b")->as_string(), "x \xc3\xa9");
}

TEST(TomlTest, RefusesDeepNestingOfEveryForm) {
  const std::string expected = "x.toml:1 is nested deeper than 64 levels; flatten it";
  EXPECT_EQ(syntax_complaint("a = " + repeat("[", 10'000)), expected);
  EXPECT_EQ(syntax_complaint("a = " + repeat("{a = ", 10'000)), expected);
  EXPECT_EQ(syntax_complaint(repeat("a.", 1'000'000) + "a = 1"), expected);
  EXPECT_EQ(syntax_complaint("[" + repeat("a . ", 1'000'000) + "a]"), expected);
  EXPECT_EQ(syntax_complaint(repeat("\"x\".", 1'000'000) + "a = 1"), expected);
  EXPECT_EQ(syntax_complaint("a = {b." + repeat("b.", 40) + "b = {" + repeat("c.", 40) + "c = 1}}"),
            expected);
  // Strings must not hide what follows them.
  EXPECT_EQ(syntax_complaint("a = [\"\"\"x\"\"\"\", {" + repeat("b.", 1'000'000) + "b = 1}]"),
            expected);
  EXPECT_EQ(syntax_complaint("a = ['''x\\''', {" + repeat("b.", 1'000'000) + "b = 1}]"), expected);
}

TEST(TomlTest, TakesManyDotsAndBracketsThatDoNotNest) {
  std::string text = "a = [" + repeat("1.5, ", 1000) + "]\n# " + repeat("a.", 1000) + "\n";
  text += "b = \"" + repeat(".[{", 1000) + "\"\nc = '''\n" + repeat("\n.[", 1000) + "'''\n";
  text += "d = [\n" + repeat("{x.y = [1.5]}, ", 1000) + "]\n";
  EXPECT_EQ(parse_toml(text, "x.toml")["d"].as_array().size(), 1000U);
}

// What is read in is damaged at random, always in the same way: each result is a table or an Error.
TEST(TomlTest, SurvivesDamagedText) {
  const std::string good =
      "include = [\"a.toml\"]\n[training]\nlr_steps = [1, 2]\nx.\"y z\" = {a = 1.5e3, b = 'c'}\n"
      "s = \"\"\"\n\\u00e9 \\\n  text\"\"\"\n[[list]]\nd = true # comment\n";
  int refused = 0;
  for (std::uint64_t round = 0; round < 5000; ++round) {
    Rng rng(/*seed=*/1, /*stream=*/round);
    std::string text = good;
    for (std::uint64_t i = 0; i <= rng.below(4); ++i) {
      text[rng.below(text.size())] = static_cast<char>(rng.below(256));
    }
    try {
      EXPECT_TRUE(parse_toml(text, "x.toml").is_table());
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), StartsWith("x.toml"));
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(TomlTest, SurvivesBinaryGarbage) {
  Rng rng(/*seed=*/2);
  for (int round = 0; round < 200; ++round) {
    std::string text(1 + rng.below(300), '\0');
    for (char& c : text) c = static_cast<char>(rng.below(256));
    EXPECT_THAT(syntax_complaint(text), StartsWith("x.toml"));
  }
}

TEST(TomlTest, WritesWhatItReads) {
  const std::string text =
      "a = 1\n\"b c\" = \"x\\\"\\\\\\n\"\nlist = [{k = 1}, {k = 2}]\n"
      "\n[empty]\n\n[t]\nx = 0.1\n\n[t.\"u.v\"]\ny = false\n";
  const Value value = parse_toml(text, "x.toml");
  EXPECT_EQ(to_toml(value), text);
  EXPECT_EQ(parse_toml(to_toml(value), "y.toml"), value);
}

TEST(TomlTest, WritesNoHeaderForATableOfTablesAlone) {
  EXPECT_EQ(to_toml(parse_toml("a.b.c = 1", "x.toml")), "[a.b]\nc = 1\n");
}

TEST(TomlTest, WritesNumbersSoThatTheyStayThemselves) {
  const Value value =
      parse_toml("a = inf\nb = -inf\nc = 1.0\nd = 1e300\ne = 5e-324\nf = -0.0", "x.toml");
  EXPECT_EQ(parse_toml(to_toml(value), "y.toml"), value);
  EXPECT_EQ(parse_toml(to_toml(value), "y.toml")["c"].type(), Value::Type::kFloat);
}

TEST(TomlTest, LeavesOutWhatTomlCannotSay) {
  Value value;
  value["a"] = Value();
  value["b"] = 1;
  EXPECT_EQ(to_toml(value), "b = 1\n");
}

TEST(TomlTest, SaysWhereEachValueCameFrom) {
  EXPECT_EQ(to_toml(parse_toml("a = 1\n[t]\nb = 2", "x.toml"), Origins::kShow),
            "a = 1  # x.toml:1:5\n\n[t]\nb = 2  # x.toml:3:5\n");
}

TEST(TomlTest, ErrorsHaveTheKindOfTheCaller) {
  EXPECT_THAT(error_of([] { (void)parse_toml("a", "plugin.toml", ErrorKind::kPlugin); },
                       ErrorKind::kPlugin),
              StartsWith("plugin.toml:1:"));
}

TEST(TomlTest, RefusesAHugeHoleUnread) {
  const fixtures::TempFolder folder;
  const auto file = folder.write("x.toml", "");
  std::filesystem::resize_file(file, 200'000'000'000);
  EXPECT_THAT(error_of([&] { (void)load_toml(file); }),
              HasSubstr("x.toml: it has 200000000000 bytes, more than the 16000000 allowed"));
}

TEST(TomlTest, LoadsAFile) {
  const fixtures::TempFolder folder;
  EXPECT_EQ(load_toml(folder.write("x.toml", "a = 1"))["a"].origin(),
            (folder / "x.toml").string() + ":1:5");
}

}  // namespace
}  // namespace pergola::host
