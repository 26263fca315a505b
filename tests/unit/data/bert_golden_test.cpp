// SPDX-License-Identifier: BSD-3-Clause
// Against the library `tokenizers`, by the numbers that tools/reference/bert_tokenizer.py wrote.
#include "host/data/bert_tokenizer.h"
#include "host/data/bert_words.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

using Json = nlohmann::json;

constexpr std::uint32_t kPage = 1024;
constexpr std::uint32_t kLastCode = 0x10FFFF;

// PERGOLA_BERT_TEXTS names another file that the script wrote, of more texts.
const Json& golden() {
  static const Json numbers = [] {
    const char* const other = std::getenv("PERGOLA_BERT_TEXTS");
    return Json::parse(
        std::ifstream(other == nullptr ? PERGOLA_GOLDEN_DIR "/bert_tokenizer.json" : other));
  }();
  return numbers;
}

std::string utf8_of(std::uint32_t code) {
  const auto byte = [](std::uint32_t value) { return static_cast<char>(value); };
  const auto next = [&](unsigned shift) { return byte(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) return {byte(code)};
  if (code < 0x800) return {byte(0xC0 | code >> 6), next(0)};
  if (code < 0x10000) return {byte(0xE0 | code >> 12), next(6), next(0)};
  return {byte(0xF0 | code >> 18), next(12), next(6), next(0)};
}

// The words, with a space between them.
std::string split(const std::string& text, Casing casing) {
  BertWords words;
  split_bert_words(text, casing, words);
  std::string result;
  std::size_t begin = 0;
  for (const BertWords::Extent& extent : words.extents) {
    if (begin > 0) result += ' ';
    result.append(words.letters, begin, extent.bytes);
    begin += extent.bytes;
  }
  return result;
}

// The first code points of the pages in which "a" + code point + "b" becomes other words than in
// the golden file: utf8proc's Unicode is newer than what bert_unicode.cpp knows of.
std::vector<std::uint32_t> differing_pages(Casing casing, const Json& sums) {
  std::vector<std::uint32_t> pages;
  for (std::uint32_t page = 0; page <= kLastCode; page += kPage) {
    uLong sum = crc32(0, nullptr, 0);
    for (std::uint32_t code = page; code < page + kPage; ++code) {
      if (code >= 0xD800 && code < 0xE000) continue;
      std::string text = "a";
      text.append(utf8_of(code)).append("b");
      const std::string words = split(text, casing).append("\n");
      sum =
          crc32(sum, reinterpret_cast<const Bytef*>(words.data()), static_cast<uInt>(words.size()));
    }
    if (sum != sums.at(page / kPage).get<uLong>()) pages.push_back(page);
  }
  return pages;
}

// How many texts have other ids than column `column` of the golden rows; the first are printed.
int differing_texts(Casing casing, std::size_t column) {
  const BertTokenizer tokenizer(golden().at("vocabulary").get<Strings>(), casing, "golden");
  int differing = 0;
  for (const Json& row : golden().at("texts")) {
    const auto expected = row.at(column).get<std::vector<std::int64_t>>();
    const auto ids = tokenizer.encode(row.at(0).get<std::string>());
    if (ids == expected) continue;
    if (++differing <= 10) {
      ADD_FAILURE() << row.at(0).dump(-1, ' ', /*ensure_ascii=*/true) << " is "
                    << testing::PrintToString(ids) << ", expected "
                    << testing::PrintToString(expected);
    }
  }
  return differing;
}

TEST(BertGoldenTest, EveryCodePointIsCleanedAndSplitAsByTokenizers) {
  const Json& sums = golden().at("page_sums");
  EXPECT_THAT(differing_pages(Casing::kLower, sums.at("lower")), testing::IsEmpty());
  EXPECT_THAT(differing_pages(Casing::kKept, sums.at("kept")), testing::IsEmpty());
}

TEST(BertGoldenTest, TextsOfEveryBlockHaveTheIdsOfTokenizers) {
  EXPECT_GE(golden().at("texts").size(), 2000U);
  EXPECT_EQ(differing_texts(Casing::kLower, 1), 0);
  EXPECT_EQ(differing_texts(Casing::kKept, 2), 0);
}

}  // namespace
}  // namespace pergola::host
