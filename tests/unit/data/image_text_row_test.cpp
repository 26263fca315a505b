// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/image_text_row.h"

#include "unit/data/fixture.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <ctime>

namespace pergola::host {
namespace {

using test::error_of;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class ImageTextRowTest : public testing::Test {
 protected:
  ImageTextRow parse(const std::string& line) {
    return parse_image_text_row(JsonLines(folder_.write("a.jsonl", line)), 0);
  }
  // The error's sentence after "<file>:1: ", without its "; correct the row".
  std::string error(const std::string& line) {
    std::string message = error_of(ErrorKind::kData, [&] { (void)parse(line); });
    const std::string begin = (folder_ / "a.jsonl").string() + ":1: ";
    const std::string end = "; correct the row";
    EXPECT_THAT(message, StartsWith(begin));
    EXPECT_THAT(message, testing::EndsWith(end));
    message.erase(0, begin.size());
    return message.substr(0, message.size() - std::min(end.size(), message.size()));
  }
  TempFolder folder_;
};

TEST_F(ImageTextRowTest, ReadsAWholeRow) {
  const ImageTextRow row = parse(
      R"({"id": "v-1", "question": "what?", "image": ["a.png", "b.jpg"], "features": "c.npy",)"
      R"( "answers": ["yes", "no"], "extra": {"n": [1]}})");
  EXPECT_EQ(row.id, Value("v-1"));
  EXPECT_EQ(row.text, "what?");
  EXPECT_THAT(row.images, ElementsAre("a.png", "b.jpg"));
  EXPECT_THAT(row.features, ElementsAre("c.npy"));
  EXPECT_EQ(row.target, ImageTextRow::Target::kAnswers);
  EXPECT_THAT(row.answers, ElementsAre("yes", "no"));
}

TEST_F(ImageTextRowTest, ReadsEveryKindOfTarget) {
  const auto target = [&](const std::string& member) {
    return parse(R"({"text": "t", "image": "a.png")" + member + "}");
  };
  EXPECT_EQ(target(R"(, "label": 3)").class_number, 3);
  EXPECT_THAT(target(R"(, "label": 3)").answers, IsEmpty());
  EXPECT_EQ(target(R"(, "label": "cat")").target, ImageTextRow::Target::kLabel);
  EXPECT_THAT(target(R"(, "label": "cat")").answers, ElementsAre("cat"));
  EXPECT_EQ(target(R"(, "answer": "cat")").target, ImageTextRow::Target::kAnswers);
  EXPECT_EQ(target("").target, ImageTextRow::Target::kNone);
  EXPECT_EQ(target(R"(, "label": null)").target, ImageTextRow::Target::kNone);
  EXPECT_TRUE(target("").id.is_null());
  EXPECT_EQ(target(R"(, "id": -7)").id, Value(-7));
}

TEST_F(ImageTextRowTest, RefusesRowsOfAnotherForm) {
  const std::pair<const char*, const char*> cases[] = {
      {"[1]", "the row is array, expected an object; JSON Lines has one a line"},
      {R"({"image": "a"})", "the row has none of text, question and sentence"},
      {R"({"text": "a", "sentence": "b", "image": "a"})",
       "the row has text and sentence, expected one of them"},
      {R"({"text": " \n", "image": "a"})", "text is empty"},
      {R"({"question": 3, "image": "a"})", "question is 3, expected a string"},
      {R"({"text": "a"})", "the row has neither image nor features"},
      {R"({"text": "a", "image": []})", "image has 0 items, expected 1 to 100"},
      {R"({"text": "a", "image": 5})", "image is 5, expected a path or an array of paths"},
      {R"({"text": "a", "features": ["b", null]})",
       "features is null, expected a path or an array of paths"},
      {R"({"text": "a", "image": "a", "id": 1.5})",
       "id is 1.5, expected a string or a 64-bit integer"},
      {R"({"text": "a", "image": "a", "id": 18446744073709551615})",
       "id is 18446744073709551615, expected a string or a 64-bit integer"},
      {R"({"text": "a", "image": "a", "label": 1, "answers": ["b"]})",
       "the row has label and answers, expected one of them"},
      {R"({"text": "a", "image": "a", "label": true})",
       "label is true, expected a class number or its word"},
      {R"({"text": "a", "image": "a", "label": 1.0})",
       "label is 1.0, expected a class number or its word"},
      {R"({"text": "a", "image": "a", "answer": ["b"]})", "answer is [\"b\"], expected a string"},
      {R"({"text": "a", "image": "a", "answers": "b"})",
       "answers is \"b\", expected an array of strings"},
      {R"({"text": "a", "image": "a", "answers": []})", "answers has 0 items, expected 1 to 1000"},
      {R"({"text": "a", "image": "a", "answers": ["?", ""]})",
       "answers is [\"?\",\"\"], expected one of them to have more than spaces, commas and "
       "question "
       "marks, which do not count"},
      {R"({"text": "a", "image": "a", "answer": "? "})",
       "answer is \"? \", expected to have more than spaces, commas and question marks, which do "
       "not count"},
      {R"({"text": "a", "image": "a", "label": -1})",
       "label is -1, expected a class number from 0 to 999999"},
      {R"({"text": "a", "image": "a", "label": 1000000})",
       "label is 1000000, expected a class number from 0 to 999999"},
      {R"({"text": "a", "image": "a", "label": 18446744073709551615})",
       "label is 18446744073709551615, expected a class number from 0 to 999999"},
  };
  for (const auto& [line, expected] : cases) EXPECT_EQ(error(line), expected) << line;
}

TEST_F(ImageTextRowTest, NamesLineAndColumnOfBrokenJson) {
  const auto file = folder_.write("b.jsonl", "\n\r\n{\"text\": \"a\"}\n  {\"text\" 3}\n");
  const JsonLines lines(file);
  ASSERT_EQ(lines.size(), 2);
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)parse_image_text_row(lines, 1); }),
              StartsWith(file.string() + ":4:9 is not valid JSON: "));
}

// A message that writes such a value out would recurse as deep.
TEST_F(ImageTextRowTest, NamesTheLineOfBracketsThatAreNestedTooDeep) {
  const std::string deep = std::string(300'000, '[') + std::string(300'000, ']');
  const auto file =
      folder_.write("c.jsonl", "{\"text\": \"t\", \"image\": \"a\"}\n{\"text\": " + deep +
                                   ", \"image\": \"a\"}\n");
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { (void)parse_image_text_row(JsonLines(file), 1); }),
            file.string() +
                ":2:209 is not usable JSON: it is nested deeper than 200 levels; "
                "flatten it");
}

// 200 levels are taken: the row's own, and 199 in it. Those of a string are none.
TEST_F(ImageTextRowTest, CountsTheLevelsOutsideStrings) {
  const auto nested = [](int levels) {
    return R"({"text": "\\\"[[{{]", "image": "a", "more": )" +
           std::string(static_cast<std::size_t>(levels), '[') +
           std::string(static_cast<std::size_t>(levels), ']') + "}";
  };
  EXPECT_EQ(parse(nested(199)).text, "\\\"[[{{]");
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)parse(nested(200)); }),
              HasSubstr("it is nested deeper than 200 levels"));
}

// Whatever the row has, reading it takes as long at the end of a file as at its beginning.
TEST_F(ImageTextRowTest, ManyBracketsCostNoMoreInALaterLine) {
  std::string row = R"({"text": "t", "image": "a", "boxes": [[])";
  for (int i = 0; i < 300; ++i) row += ",[]";
  row += "]}\n";
  const JsonLines lines(folder_.write("a.jsonl", row + std::string(2'000'000, '\n') + row));
  const auto seconds_of = [&](std::int64_t index) {
    const std::clock_t begin = std::clock();
    for (int i = 0; i < 200; ++i) (void)parse_image_text_row(lines, index);
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  const double first = seconds_of(0);
  EXPECT_LT(seconds_of(1), 4 * first + 0.1);  // the newlines alone would be 400 MB
}

TEST_F(ImageTextRowTest, TakesManyBracketsSideBySide) {
  std::string many = "[]";
  for (int i = 0; i < 300; ++i) many += ",[]";
  EXPECT_EQ(parse(R"({"text": "t", "image": "a", "boxes": [)" + many + "]}").text, "t");
}

TEST_F(ImageTextRowTest, KeepsTheBlankAnswersOfSomeOfTen) {
  EXPECT_THAT(parse(R"({"text": "t", "image": "a", "answers": ["", "red", "?"]})").answers,
              ElementsAre("", "red", "?"));
}

TEST(JsonLinesTest, PassesOverEmptyLinesAndAByteOrderMark) {
  const TempFolder folder;
  const JsonLines lines(folder.write("a.jsonl", "\xef\xbb\xbf{}\r\n\n  \n[1]"));
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(lines.text(0), "{}\r");
  EXPECT_EQ(lines.text(1), "[1]");
  EXPECT_EQ(lines.place(1), (folder / "a.jsonl").string() + ":4");
}

TEST(JsonLinesTest, KnowsTheLinesOfRowsBehindEmptyOnes) {
  const TempFolder folder;
  const JsonLines lines(folder.write("a.jsonl", "\n1\n2\n\n\n3\n4\n \n"));
  ASSERT_EQ(lines.size(), 4);
  const std::int64_t expected[] = {2, 3, 6, 7};
  for (std::int64_t row = 0; row < 4; ++row) EXPECT_EQ(lines.line_number(row), expected[row]);
}

TEST(JsonLinesTest, RefusesAFileWithoutRows) {
  const TempFolder folder;
  const auto file = folder.write("a.jsonl", "\n \n");
  EXPECT_EQ(
      error_of(ErrorKind::kData, [&] { JsonLines lines(file); }),
      file.string() + " has no rows, expected JSON Lines: one object a line; restore the file");
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { JsonLines lines(folder.path()); }),
              HasSubstr("it is a folder"));
}

}  // namespace
}  // namespace pergola::host
