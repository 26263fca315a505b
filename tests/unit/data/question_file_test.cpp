// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/question_file.h"

#include "unit/data/fixture.h"

#include <gmock/gmock.h>

namespace pergola::host {
namespace {

using test::error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class QuestionFileTest : public testing::Test {
 protected:
  QuestionFile read(std::string_view content) {
    return read_question_file(folder_.write("questions.json", content));
  }
  std::string error(std::string_view content) {
    return error_of(ErrorKind::kData, [&] { (void)read(content); });
  }
  test::TempFolder folder_;
};

TEST_F(QuestionFileTest, KeepsEachDistinctTextOnce) {
  const QuestionFile file = read(R"([["a?", "yes", 3], ["b?", "no", 3], ["a?", "no", 0]])");
  EXPECT_THAT(file.questions, ElementsAre("a?", "b?"));
  EXPECT_THAT(file.answers, ElementsAre("yes", "no"));
  EXPECT_THAT(file.first_question_row, ElementsAre(0, 1));
  EXPECT_THAT(file.first_answer_row, ElementsAre(0, 1));
  ASSERT_EQ(file.rows.size(), 3U);
  EXPECT_EQ(file.rows[2].question, 0U);
  EXPECT_EQ(file.rows[2].answer, 1U);
  EXPECT_EQ(file.rows[2].image, 0);
}

TEST_F(QuestionFileTest, SaysWhereTheJsonIsBroken) {
  // The second line is `["b?", "no" 1]]`: the comma is missing before the 1, in column 13.
  EXPECT_THAT(error("[[\"a?\", \"yes\", 0],\n[\"b?\", \"no\" 1]]"),
              AllOf(HasSubstr("questions.json:2:13"), HasSubstr("is not valid JSON")));
  EXPECT_THAT(error(R"([["a?", "yes", 0])"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(error(""), HasSubstr("is not valid JSON"));
}

TEST_F(QuestionFileTest, RefusesAHugeHoleUnread) {
  const auto file = folder_.write("questions.json", "");
  std::filesystem::resize_file(file, 200'000'000'000);
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)read_question_file(file); }),
              HasSubstr("questions.json: it has 200000000000 bytes, more than the 1000000000 "
                        "allowed"));
}

TEST_F(QuestionFileTest, RefusesAFileWithoutQuestions) {
  EXPECT_THAT(error("[]"), EndsWith("questions.json has no questions; expected rows [question, "
                                    "answer, image number]; restore the file"));
}

TEST_F(QuestionFileTest, RefusesAFileThatIsNoArray) {
  EXPECT_THAT(error("{}"), HasSubstr("questions.json holds an object, expected an array of rows"));
  EXPECT_THAT(error("7"), HasSubstr("holds the number 7"));
}

TEST_F(QuestionFileTest, NamesTheRowOfAnotherForm) {
  const std::string good = R"([["a?", "yes", 0], )";
  const std::string expected =
      " where it should be [\"question\", \"answer\", image number]; correct the row";
  EXPECT_THAT(error(good + R"(["b?", "no"]])"),
              EndsWith("questions.json row 1 has only 2 elements" + expected));
  EXPECT_THAT(error(good + R"(["b?", "no", "1"]])"),
              EndsWith("questions.json row 1 has the string '1'" + expected));
  EXPECT_THAT(error(good + R"(["b?", "no", 1, 2]])"), HasSubstr("row 1 has the number 2"));
  EXPECT_THAT(error(good + R"(["b?", "no", 1.5]])"), HasSubstr("row 1 has the number 1.5"));
  EXPECT_THAT(error(good + R"(["b?", null, 1]])"), HasSubstr("row 1 has null"));
  EXPECT_THAT(error(good + R"(["b?", ["no"], 1]])"), HasSubstr("row 1 has an array"));
  EXPECT_THAT(error(good + R"({"question": "b?"}])"), HasSubstr("row 1 has an object"));
  EXPECT_THAT(error(good + R"("b?"])"), HasSubstr("row 1 has the string 'b?'"));
  EXPECT_THAT(error(good + R"([]])"), HasSubstr("row 1 has only 0 elements"));
}

TEST_F(QuestionFileTest, RefusesAnImageNumberOutOfRange) {
  EXPECT_THAT(error(R"([["a?", "yes", -1]])"), HasSubstr("row 0 has the image number -1"));
  EXPECT_THAT(error(R"([["a?", "yes", 18446744073709551615]])"),
              HasSubstr("row 0 has a number beyond 64 bits"));
}

TEST_F(QuestionFileTest, NamesAFileThatIsMissing) {
  EXPECT_THAT(
      error_of(ErrorKind::kData, [&] { (void)read_question_file(folder_.path() / "q.json"); }),
      AllOf(StartsWith("cannot read "), HasSubstr("q.json: No such file or directory")));
}

}  // namespace
}  // namespace pergola::host
