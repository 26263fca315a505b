// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/bert_tokenizer.h"

#include "host/data/piece_trie.h"
#include "unit/data/fixture.h"

#include <gmock/gmock.h>

namespace pergola::host {
namespace {

using test::error_of;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;

// Ids 0 to 4 are the special tokens.
constexpr const char* kVocab =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\n##able\nable\n!\n\xE4\xB8\xAD\nunaffe\nA\n";
constexpr std::int64_t kUnknown = 1;
constexpr std::int64_t kMaskToken = 4;
constexpr std::int64_t kUn = 5, kAff = 6, kAbleInside = 7, kAble = 8, kBang = 9, kMiddle = 10;

class BertTokenizerTest : public testing::Test {
 protected:
  std::vector<std::int64_t> encode(const std::string& text) { return lower_.encode(text); }
  std::string error_with(std::string_view vocab) {
    const auto file = folder_.write("broken.txt", vocab);
    return error_of(ErrorKind::kData,
                    [&] { static_cast<void>(BertTokenizer::read(file, Casing::kLower)); });
  }

  TempFolder folder_;
  BertTokenizer lower_ = BertTokenizer::read(folder_.write("vocab.txt", kVocab), Casing::kLower);
};

TEST_F(BertTokenizerTest, CutsAWordIntoItsLongestPiecesFromTheFront) {
  EXPECT_THAT(encode("unaffable"), ElementsAre(kUn, kAff, kAbleInside));
  EXPECT_THAT(encode("able un"), ElementsAre(kAble, kUn));
  // The longest piece at the front is "unaffe", and nothing is "##able" but whole: no way back.
  EXPECT_THAT(encode("unaffex"), ElementsAre(kUnknown));
}

TEST_F(BertTokenizerTest, MakesAWordUnknownAsAWhole) {
  EXPECT_THAT(encode("unx un"), ElementsAre(kUnknown, kUn));
}

TEST_F(BertTokenizerTest, SplitsPunctuationAndIdeographsOff) {
  EXPECT_THAT(encode("un!able"), ElementsAre(kUn, kBang, kAble));
  EXPECT_THAT(encode("un\xE4\xB8\xAD"
                     "able"),
              ElementsAre(kUn, kMiddle, kAble));
}

TEST_F(BertTokenizerTest, LowersAndTakesAccentsOffUnlessTheCaseIsKept) {
  EXPECT_THAT(encode("\xC3\x9CN"), ElementsAre(kUn));   // U with diaeresis
  EXPECT_THAT(encode("U\xCC\x88n"), ElementsAre(kUn));  // the same in two code points
  const auto kept = BertTokenizer::read(folder_ / "vocab.txt", Casing::kKept);
  EXPECT_THAT(kept.encode("UN A"), ElementsAre(kUnknown, 12));
}

TEST_F(BertTokenizerTest, MakesAWordOfMoreThanAHundredCodePointsUnknown) {
  Strings tokens(BertTokenizer::kSpecialTokens.begin(), BertTokenizer::kSpecialTokens.end());
  tokens.insert(tokens.end(), {"\xD1\x8F", "##\xD1\x8F"});  // a letter of two bytes
  const BertTokenizer tokenizer(tokens, Casing::kLower, "test");
  std::string word;
  for (int i = 0; i < 100; ++i) word += "\xD1\x8F";
  EXPECT_EQ(tokenizer.encode(word).size(), 100U);
  EXPECT_THAT(tokenizer.encode(word + "\xD1\x8F"), ElementsAre(kUnknown));
}

TEST_F(BertTokenizerTest, KeepsSpecialTokensInAText) {
  EXPECT_THAT(encode("un[MASK]able [SEP]"), ElementsAre(kUn, kMaskToken, kAble, 3));
  EXPECT_THAT(encode("[[MASK]]"), ElementsAre(kUnknown, kMaskToken, kUnknown));
  // Only as they are written: this is three words.
  EXPECT_THAT(encode("[mask]"), ElementsAre(kUnknown, kUnknown, kUnknown));
}

// Each of the bytes is dropped, as U+FFFD is; what is around it stays one word.
TEST_F(BertTokenizerTest, PassesOverBytesThatAreNoUtf8) {
  for (const std::string bad : {"\xFF", "\x80", "\xC0\xAF", "\xE4\xB8", "\xED\xA0\x80",
                                "\xF4\x90\x80\x80", "\xF0\x9F", "\xEF\xBF\xBD"}) {
    EXPECT_THAT(encode("un" + bad + "aff"), ElementsAre(kUn, kAff)) << testing::PrintToString(bad);
    EXPECT_THAT(encode("un" + bad), ElementsAre(kUn)) << testing::PrintToString(bad);
  }
  EXPECT_THAT(encode("[MA\xFFSK]"), ElementsAre(kUnknown, kUnknown, kUnknown));
}

TEST_F(BertTokenizerTest, HasNoIdsForATextOfNothing) {
  EXPECT_THAT(encode(""), ElementsAre());
  EXPECT_THAT(encode(std::string(" \n\0\x01", 4)), ElementsAre());
}

TEST_F(BertTokenizerTest, TakesLinesAsTheyAreCountedByTokenizers) {
  // Space at the end goes; an empty line has a number; of equal lines the last one counts.
  const auto file =
      folder_.write("lines.txt", "[PAD]\r\n[UNK] \n[CLS]\n[SEP]\n[MASK]\n\nsame\nother\nsame");
  const auto tokenizer = BertTokenizer::read(file, Casing::kLower);
  EXPECT_EQ(tokenizer.size(), 9);
  EXPECT_THAT(tokenizer.encode("other same"), ElementsAre(7, 8));
  EXPECT_EQ(tokenizer.token(7), "other");
}

TEST_F(BertTokenizerTest, RefusesAVocabularyWithoutASpecialToken) {
  EXPECT_EQ(error_with("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK] x\n"),
            concat("vocabulary ", (folder_ / "broken.txt").string(),
                   " has no line '[MASK]'; expected [PAD], [UNK], [CLS], [SEP] and [MASK], each on "
                   "a line of its own; give the vocab.txt that came with the weights"));
  EXPECT_THAT(error_with(""), HasSubstr("has no line '[PAD]'"));
}

TEST_F(BertTokenizerTest, RefusesALineThatIsNoUtf8) {
  EXPECT_EQ(error_with("[PAD]\n\xFF\n"),
            concat("vocabulary ", (folder_ / "broken.txt").string(),
                   ":2 is no valid UTF-8; restore the vocab.txt that came with the weights"));
}

TEST(PieceTrieTest, FindsTheLongestStringThatATextBeginsWith) {
  const PieceTrie trie({"a", "abc", "", "abd", "a"});
  const auto match = trie.longest(PieceTrie::kRoot, "abx");
  EXPECT_EQ(match.id, 4);  // of the two "a", the last
  EXPECT_EQ(match.size, 1U);
  EXPECT_EQ(trie.longest(PieceTrie::kRoot, "abcabd").id, 1);
  EXPECT_EQ(trie.longest(trie.find("ab"), "d").id, 3);
  EXPECT_EQ(trie.longest(PieceTrie::kRoot, "b").id, PieceTrie::kNoId);
  EXPECT_EQ(trie.find("x"), PieceTrie::kNoNode);
  EXPECT_EQ(trie.longest(PieceTrie::kNoNode, "a").id, PieceTrie::kNoId);
}

}  // namespace
}  // namespace pergola::host
