// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/metrics/text_normalizer.h"

#include "host/data/vocab.h"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace pergola::host {
namespace {

// "," and "?" are gone before these are looked for.
constexpr std::string_view kPunctuation = ";/[]\"{}()=+\\_-><@`!";

// Contractions by their end: what stands before it, then others.
constexpr std::array<std::array<std::string_view, 2>, 9> kContractions{{
    {"n't",
     "ai are ca could did does do had has have is might must need ought sha should was were "
     "wo would"},
    {"'ve", "could might must not should they we what where who would you"},
    {"'d", "he how it someone something there they where who you"},
    {"'ll", "how it somebody someone something they what who why you"},
    {"'s", "he how somebody someone that there what when where who why"},
    {"'re", "there they what why you"},
    {"'d've", "he it she somebody someone something there they we who you y'all"},
    {"n't've", "could had might should would"},
    {"", "ma'am o'clock 'ow's'at 'twas y'all y'all'll"},
}};

using Words = std::unordered_map<std::string, std::string>;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Calls `take` for each word between spaces.
template <class Take>
void for_each_word(std::string_view text, const Take& take) {
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin;
    while (end < text.size() && !is_space(text[end])) ++end;
    if (end > begin) take(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

// Each contraction by what is left of it when one of its apostrophes is forgotten.
Words make_contractions() {
  Words words{{"somebody'd", "somebodyd"}};  // MMF's table has this one the wrong way round
  for (const auto& [end, stems] : kContractions) {
    for_each_word(stems, [&words, end = end](std::string_view stem) {
      const std::string right = std::string(stem).append(end);
      for (std::size_t at = right.find('\''); at != std::string::npos;
           at = right.find('\'', at + 1)) {
        std::string wrong = right;
        words.emplace(wrong.erase(at, 1), right);
      }
    });
  }
  return words;
}

const Words& number_words() {
  static const Words kWords{{"none", "0"},  {"zero", "0"},  {"one", "1"},  {"two", "2"},
                            {"three", "3"}, {"four", "4"},  {"five", "5"}, {"six", "6"},
                            {"seven", "7"}, {"eight", "8"}, {"nine", "9"}, {"ten", "10"}};
  return kWords;
}

const std::string* find_word(const Words& words, const std::string& word) {
  const auto found = words.find(word);
  return found == words.end() ? nullptr : &found->second;
}

// Whether a mark that is in `text` stands beside a space somewhere.
bool is_beside_space(const std::string& text, char mark) {
  for (std::size_t i = text.find(mark); i != std::string::npos; i = text.find(mark, i + 1)) {
    if ((i > 0 && text[i - 1] == ' ') || (i + 1 < text.size() && text[i + 1] == ' ')) return true;
  }
  return false;
}

std::string strip_punctuation(const std::string& text) {
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    if (kPunctuation.find(c) == std::string_view::npos) {
      result += c;
    } else if (!is_beside_space(text, c)) {
      result += ' ';
    }
  }
  return result;
}

// MMF gives a flag where the number of replacements belongs: 32 of them.
std::string strip_points(const std::string& text) {
  constexpr int kMostPoints = 32;
  int stripped = 0;
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool before_digit = i + 1 < text.size() && is_digit(text[i + 1]);
    if (text[i] != '.' || before_digit || stripped == kMostPoints) {
      result += text[i];
    } else {
      ++stripped;
    }
  }
  return result;
}

}  // namespace

std::string normalize_evalai(std::string_view answer) {
  static const Words kContractionTable = make_contractions();
  std::string text = normalize_answer(answer);
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::replace(text.begin(), text.end(), '\t', ' ');
  text = strip_points(strip_punctuation(text));
  std::string result;
  for_each_word(text, [&result](std::string_view given) {
    std::string word(given);
    if (const std::string* number = find_word(number_words(), word)) word = *number;
    if (word == "a" || word == "an" || word == "the") return;
    if (const std::string* right = find_word(kContractionTable, word)) word = *right;
    if (!result.empty()) result += ' ';
    result += word;
  });
  return result;
}

}  // namespace pergola::host
