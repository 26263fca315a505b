// SPDX-License-Identifier: BSD-3-Clause
// How texts are compared: EvalAI's form of answers, edit distance, ANLS.
#include "host/model/metrics/anls.h"
#include "host/model/metrics/text_normalizer.h"
#include "unit/model/metrics/text_helpers.h"

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

TEST(NormalizeEvalAiTest, IsThatOfMmf) {
  const Value::Array& cases = text_golden().find("normalized")->as_array();
  EXPECT_GT(cases.size(), 100U);
  for (const Value& one : cases) {
    const std::string& text = one.as_array()[0].as_string();
    EXPECT_EQ(normalize_evalai(text), one.as_array()[1].as_string()) << "'" << text << "'";
  }
}

TEST(NormalizeEvalAiTest, HasTheExampleOfMmfsTests) {
  EXPECT_EQ(normalize_evalai("the two mountain's \t \n   "), "2 mountain 's");
}

// Known not to be MMF's, which knows the case and the space of other scripts.
TEST(NormalizeEvalAiTest, KeepsLettersBeyondAsciiAsTheyAre) {
  EXPECT_EQ(normalize_evalai("\xC3\x89T\xC3\x89"), "\xC3\x89t\xC3\x89");  // ÉTÉ
  EXPECT_EQ(normalize_evalai("the\xC2\xA0"
                             "end"),
            "the\xC2\xA0"
            "end");  // a hard space
}

TEST(EditDistanceTest, IsThatOfTheReference) {
  for (const Value& one : text_golden().find("edit_distance")->as_array()) {
    const std::string& left = one.as_array()[0].as_string();
    const std::string& right = one.as_array()[1].as_string();
    EXPECT_EQ(edit_distance(left, right), one.as_array()[2].as_integer()) << left << ", " << right;
    EXPECT_EQ(edit_distance(right, left), one.as_array()[2].as_integer()) << left << ", " << right;
  }
}

TEST(EditDistanceTest, TakesBytesThatAreNoUtf8AsCharacters) {
  EXPECT_EQ(edit_distance("\xFF\xFE", "a"), 2);
  EXPECT_EQ(edit_distance("\xC3", "\xC3\xA9"), 1);        // a character that is cut
  EXPECT_EQ(edit_distance("\xE4\xB8x", "\xE4\xB8y"), 1);  // one whose last byte is missing
}

TEST(AnlsTest, IsThatOfMmf) {
  for (const Value& one : text_golden().find("anls")->as_array()) {
    const std::string& left = one.as_array()[0].as_string();
    const std::string& right = one.as_array()[1].as_string();
    EXPECT_DOUBLE_EQ(anls(left, right), one.as_array()[2].as_float()) << left << ", " << right;
  }
}

TEST(AnlsTest, EmptyTextsAreAlike) {  // MMF divides by zero
  EXPECT_EQ(anls("", " \t"), 1);
  EXPECT_EQ(anls("", "a"), 0);
}

}  // namespace
}  // namespace pergola::host
