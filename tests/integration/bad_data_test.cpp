// SPDX-License-Identifier: BSD-3-Clause
// Data that is wrong: exit code 4, the file and row, before the first update.
#include "integration/run_test.h"

namespace pergola::test {
namespace {

namespace fs = std::filesystem;

class BadData : public RunTest {
 protected:
  void expect_refused(const Words& parts, const Words& more = {}) const {
    const Result result = train(more);
    expect_error(result, kData, parts);
    EXPECT_THAT(result.err, ::testing::Not(::testing::HasSubstr("[train] update")));
    expect_nothing_half_written();
  }
  // Changes one row of train's questions.
  void set_row(std::size_t row, const Json& content) const {
    Json rows = json(kQuestions);
    rows.at(row) = content;
    write(kQuestions, rows.dump());
  }
  static constexpr const char* kQuestions = "data/easy_vqa/train/questions.json";
  static constexpr const char* kImage = "data/easy_vqa/train/images/5.png";
};

TEST_F(BadData, FolderThatIsMissing) {
  expect_refused(
      {"data set 'easy_vqa' has no folder nowhere/easy_vqa", "tools/setup --data easy_vqa"},
      {"env.data_dir=nowhere"});
}

TEST_F(BadData, SplitThatIsMissing) {
  fs::remove_all(path("data/easy_vqa/train"));
  expect_refused({"has no folder data/easy_vqa/train"});
}

TEST_F(BadData, QuestionsThatAreMissing) {
  fs::remove(path(kQuestions));
  expect_refused({"data set 'easy_vqa' has no file data/easy_vqa/train/questions.json",
                  "`tools/setup --data easy_vqa`"});
}

TEST_F(BadData, QuestionsThatAreNotJson) {
  write(kQuestions, text(kQuestions).substr(0, 100));
  expect_refused({"data/easy_vqa/train/questions.json"});
}

TEST_F(BadData, RowThatIsNone) {
  set_row(3, {"what?", "red"});
  expect_refused({"questions.json row 3 has only 2 elements", "correct the row"});
}

TEST_F(BadData, NoQuestionsAtAll) {
  write(kQuestions, "[]");
  expect_refused({"questions.json has no questions"});
}

TEST_F(BadData, QuestionWithoutWords) {
  set_row(4, {" ", "red", 2});
  expect_refused({"questions.json row 4", "word"});
}

TEST_F(BadData, AnswerOutsideTheVocabulary) {
  set_row(7, {"what color is the shape?", "mauve", 3});
  expect_refused({"questions.json row 7", "the answer 'mauve' is not in the answer vocabulary"});
}

TEST_F(BadData, ControlCharactersOfAnAnswerReachNeitherTheTerminalNorTheLog) {
  set_row(7, {"what color is the shape?", "ma\x1b[2Juve\r", 3});
  expect_refused({"questions.json row 7", "the answer 'ma\\x1b[2Juve\\x0d' is not in"});
  EXPECT_THAT(text("run/log.txt"),
              ::testing::HasSubstr("the answer 'ma\\x1b[2Juve\\x0d' is not in"));
}

TEST_F(BadData, AnswerThatIsThereTwiceButForItsCase) {
  write("data/easy_vqa/answers.txt", text("data/easy_vqa/answers.txt") + "\nYES\nyes\n");
  expect_refused({"data/easy_vqa/answers.txt:", "has the word 'yes' again"});
}

TEST_F(BadData, AnswersThatAreMissing) {
  fs::remove(path("data/easy_vqa/answers.txt"));
  expect_refused({"has no file data/easy_vqa/answers.txt", "`tools/setup --data easy_vqa`"});
}

TEST_F(BadData, ImageThatIsMissing) {
  fs::remove(path(kImage));
  expect_refused({"row 10 is about image 5", "no file data/easy_vqa/train/images/5.png"});
}

TEST_F(BadData, ImageThatIsTruncated) {
  write(kImage, text(kImage).substr(0, text(kImage).size() / 2));
  expect_refused({"data/easy_vqa/train/images/5.png", "truncated"});
}

TEST_F(BadData, ImageThatIsNone) {
  write(kImage, "GIF89a...");
  expect_refused({"data/easy_vqa/train/images/5.png", "PNG"});
}

TEST_F(BadData, ImageThatIsEmpty) {
  write(kImage, "");
  expect_refused({"data/easy_vqa/train/images/5.png", "empty"});
}

TEST_F(BadData, ImageThatIsAHugeHole) {
  fs::resize_file(path(kImage), 200'000'000'000);
  expect_refused({"data/easy_vqa/train/images/5.png: it has 200000000000 bytes", "allowed"});
}

TEST_F(BadData, ImageOfAnotherSize) {
  // The smallest PNG that there is: one grey pixel.
  const unsigned char bytes[] = {0x89, 'P', 'N', 'G',  0x0d, 0x0a, 0x1a, 0x0a, 0,    0, 0, 0x0d,
                                 'I',  'H', 'D', 'R',  0,    0,    0,    1,    0,    0, 0, 1,
                                 8,    0,   0,   0,    0,    0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0,
                                 0x0a, 'I', 'D', 'A',  'T',  0x78, 0x9c, 0x63, 0x60, 0, 0, 0,
                                 2,    0,   1,   0x48, 0xaf, 0xa4, 0x71, 0,    0,    0, 0, 'I',
                                 'E',  'N', 'D', 0xae, 0x42, 0x60, 0x82};
  write(kImage, std::string(bytes, bytes + sizeof(bytes)));
  expect_refused({"data/easy_vqa/train/images/5.png", "16"});
}

TEST_F(BadData, TestSplitThatIsBrokenIsFoundBeforeTraining) {
  write("data/easy_vqa/test/questions.json", "[[");
  expect_refused({"data/easy_vqa/test/questions.json"});
}

}  // namespace
}  // namespace pergola::test
