// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/vocab.h"

#include "unit/data/fixture.h"

#include <gmock/gmock.h>

namespace pergola::host {
namespace {

using test::error_of;
using test::TempFolder;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(TokenizeTest, LowersCaseAndDropsCommasAndQuestionMarks) {
  EXPECT_THAT(tokenize("What, in the IMAGE, is Red?"),
              ElementsAre("what", "in", "the", "image", "is", "red"));
}

TEST(TokenizeTest, TakesTheGenitiveApartAndKeepsPunctuationAsTokens) {
  // MMF: "dog's" -> "dog 's", then a split at runs of non-word characters that keeps the runs.
  EXPECT_THAT(tokenize("the dog's coat: red-brown!?"),
              ElementsAre("the", "dog", "'", "s", "coat", ":", "red", "-", "brown", "!"));
}

TEST(TokenizeTest, KeepsRunsOfPunctuationAndUnderscoresWhole) {
  EXPECT_THAT(tokenize("a_b ... (c)"), ElementsAre("a_b", "... (", "c", ")"));
}

TEST(TokenizeTest, TakesEveryByteOfALongerCharacterAsPartOfAWord) {
  EXPECT_THAT(tokenize("Ça va, Zoë?"), ElementsAre("Ça", "va", "zoë"));
}

TEST(TokenizeTest, FindsNoTokensInSpaceCommasAndQuestionMarks) {
  EXPECT_THAT(tokenize(""), IsEmpty());
  EXPECT_THAT(tokenize(" \t\n ,?, "), IsEmpty());
}

TEST(NormalizeAnswerTest, IsLowerCaseWithoutSpaceAroundCommasAndQuestionMarks) {
  EXPECT_EQ(normalize_answer("  Light Blue, maybe? "), "light blue maybe");
  EXPECT_EQ(normalize_answer("Dog's"), "dog 's");
  EXPECT_EQ(normalize_answer("DOG'?S"), "dog 's");  // MMF drops "," and "?" first
}

TEST(WordsByFrequencyTest, SortsByCountThenByBytes) {
  // counts: a 1, b 2, c 2, d 3
  EXPECT_THAT(words_by_frequency({"d", "c", "b", "d", "a", "c", "d", "b"}, 1),
              ElementsAre("d", "b", "c", "a"));
}

TEST(WordsByFrequencyTest, LeavesOutWordsThatAreTooRare) {
  EXPECT_THAT(words_by_frequency({"d", "c", "b", "d", "a", "c", "d", "b"}, 3), ElementsAre("d"));
}

TEST(TextVocabTest, PutsTheFourSpecialWordsFirst) {
  const Vocab vocab = make_text_vocab({"circle", "blue"});
  EXPECT_EQ(vocab.size(), 6);
  EXPECT_EQ(vocab.word(0), "<pad>");
  EXPECT_EQ(vocab.word(1), "<s>");
  EXPECT_EQ(vocab.word(2), "</s>");
  EXPECT_EQ(vocab.word(3), "<unk>");
  EXPECT_EQ(vocab.index("circle"), 4);
  EXPECT_EQ(vocab.index("blue"), 5);
}

TEST(TextVocabTest, GivesAnUnknownWordTheNumberOfUnk) {
  const Vocab vocab = make_text_vocab({"circle"});
  EXPECT_EQ(vocab.index("square"), 3);
  EXPECT_EQ(vocab.unknown(), 3);
}

TEST(TextVocabTest, DoesNotRepeatSpecialWordsOfAFile) {
  EXPECT_EQ(make_text_vocab({"<unk>", "circle", "<pad>"}).size(), 5);
}

TEST(AnswerVocabTest, PutsUnkFirstWhenItIsNotThere) {
  const Vocab vocab = make_answer_vocab({"yes", "no"});
  EXPECT_EQ(vocab.size(), 3);
  EXPECT_EQ(vocab.unknown(), 0);
  EXPECT_EQ(vocab.index("no"), 2);
}

TEST(AnswerVocabTest, LeavesUnkWhereItIs) {
  const Vocab vocab = make_answer_vocab({"yes", "<unk>", "no"});
  EXPECT_EQ(vocab.size(), 3);
  EXPECT_EQ(vocab.index("purple"), 1);
}

TEST(ReadWordFileTest, ReadsOneWordALineWithoutSpaceAroundAndEmptyLines) {
  const TempFolder folder;
  EXPECT_THAT(read_word_file(folder.write("v.txt", " circle\r\n\nlight blue\nno")),
              ElementsAre("circle", "light blue", "no"));
}

TEST(ReadWordFileTest, RefusesAFileThatIsMissing) {
  const auto error = error_of(ErrorKind::kData, [] { (void)read_word_file("/nowhere/words.txt"); });
  EXPECT_THAT(error, HasSubstr("/nowhere/words.txt: No such file or directory"));
}

TEST(ReadWordFileTest, RefusesAFileWithoutWords) {
  const TempFolder folder;
  const auto file = folder.write("v.txt", "\n \n");
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { (void)read_word_file(file); }),
            "vocabulary " + file.string() + " has no words; expected one a line; restore the file");
}

TEST(ReadWordFileTest, NamesBothLinesOfAWordThatIsThereTwice) {
  const TempFolder folder;
  const auto file = folder.write("v.txt", "yes\nno\nyes\n");
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)read_word_file(file); }),
              EndsWith("v.txt:3 has the word 'yes' again, first in line 1; remove one of the two"));
}

TEST(ReadWordFileTest, NamesTheLineOfAnAnswerThatIsOneOfBeforeInItsForm) {
  const TempFolder folder;
  const auto file = folder.write("v.txt", "Yes\nno\n yes?\n");
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)read_word_file(file, WordFile::kAnswers); }),
              EndsWith("v.txt:3 has the word 'yes' again, first in line 1; remove one of the two"));
}

TEST(ReadWordFileTest, NamesTheLineOfAnAnswerOfWhichNothingIsLeft) {
  const TempFolder folder;
  const auto file = folder.write("v.txt", "yes\n?\n");
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)read_word_file(file, WordFile::kAnswers); }),
              EndsWith("v.txt:2 has '?', of which nothing is left without punctuation; remove the "
                       "line"));
}

}  // namespace
}  // namespace pergola::host
