// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/vocab.h"

#include "host/support/files.h"
#include "pergola/error.h"

#include <algorithm>
#include <array>
#include <unordered_set>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::array<std::string_view, 4> kTextSpecials{"<pad>", "<s>", "</s>", kUnknownWord};

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view strip(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Lower case, " 's" for "'s", no "," and "?".
std::string normalize(std::string_view text) {
  std::string result;
  result.reserve(text.size() + 2);
  for (const char letter : text) {
    const char c = to_lower(letter);
    if (c == ',' || c == '?') continue;
    if (c == 's' && !result.empty() && result.back() == '\'') {
      result.back() = ' ';
      result += '\'';
    }
    result += c;
  }
  return result;
}

}  // namespace

Strings tokenize(std::string_view text) {
  const std::string normal = normalize(text);
  Strings tokens;
  tokens.reserve(16);
  for (std::size_t begin = 0; begin < normal.size();) {
    const bool word = is_word(normal[begin]);
    std::size_t end = begin + 1;
    while (end < normal.size() && is_word(normal[end]) == word) ++end;
    const auto token = strip(std::string_view(normal).substr(begin, end - begin));
    if (!token.empty()) tokens.emplace_back(token);
    begin = end;
  }
  return tokens;
}

std::string normalize_answer(std::string_view text) { return std::string(strip(normalize(text))); }

Vocab::Vocab(Strings words) : words_(std::move(words)) {
  indices_.reserve(words_.size());
  for (std::size_t i = 0; i < words_.size(); ++i) {
    const bool is_new = indices_.emplace(words_[i], static_cast<std::int64_t>(i)).second;
    PERGOLA_ASSERT(is_new);
  }
  const auto found = indices_.find(kUnknownWord);
  PERGOLA_ASSERT(found != indices_.end());
  unknown_ = found->second;
}

std::int64_t Vocab::index(std::string_view word) const {
  const auto found = indices_.find(word);
  return found == indices_.end() ? unknown_ : found->second;
}

const std::string& Vocab::word(std::int64_t index) const {
  PERGOLA_ASSERT(index >= 0 && index < size());
  return words_[static_cast<std::size_t>(index)];
}

Vocab make_text_vocab(const Strings& words) {
  Strings all(kTextSpecials.begin(), kTextSpecials.end());
  std::copy_if(words.begin(), words.end(), std::back_inserter(all), [](const std::string& word) {
    return std::find(kTextSpecials.begin(), kTextSpecials.end(), word) == kTextSpecials.end();
  });
  return Vocab(std::move(all));
}

Vocab make_answer_vocab(Strings words) {
  if (std::find(words.begin(), words.end(), kUnknownWord) == words.end()) {
    words.emplace(words.begin(), kUnknownWord);
  }
  return Vocab(std::move(words));
}

Strings words_by_frequency(const Strings& words, std::int64_t min_count) {
  std::unordered_map<std::string_view, std::int64_t> counts;
  for (const std::string& word : words) ++counts[word];
  std::vector<std::pair<std::string_view, std::int64_t>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  Strings result;
  for (const auto& [word, count] : sorted) {
    if (count >= min_count) result.emplace_back(word);
  }
  return result;
}

Value state_of_words(const Strings& words) {
  return Value::Table{{"words", Value::Array(words.begin(), words.end())}};
}

Strings words_of_state(const Value& state) {
  const Value* const list = state.find("words");
  if (list == nullptr) {
    throw Error(ErrorKind::kCheckpoint, "a processor's state is ", state.type_name(),
                " without `words`; the checkpoint is of another processor: leave ",
                "dataset_config as it was saved");
  }
  Strings words;
  words.reserve(list->as_array().size());
  for (const Value& word : list->as_array()) words.push_back(word.as_string());
  return words;
}

Strings distinct_words(Strings words) {
  std::unordered_set<std::string> seen;
  for (std::string& word : words) {
    while (!seen.insert(word).second) word += '\'';
  }
  return words;
}

Strings read_word_file(const std::filesystem::path& file, WordFile kind) {
  constexpr std::uintmax_t kMostBytes = 1'000'000'000;
  const std::string content = read_file(file, ErrorKind::kData, kMostBytes);
  Strings words;
  std::unordered_map<std::string, std::int64_t> lines;
  std::int64_t line = 0;
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    const auto written = strip(std::string_view(content).substr(begin, end - begin));
    begin = end + 1;
    ++line;
    if (written.empty()) continue;
    const std::string word =
        kind == WordFile::kAnswers ? normalize_answer(written) : std::string(written);
    if (word.empty()) {
      throw Error(ErrorKind::kData, "vocabulary ", file.string(), ":", line, " has '", written,
                  "', of which nothing is left without punctuation; remove the line");
    }
    const auto [first, is_new] = lines.emplace(word, line);
    if (!is_new) {
      throw Error(ErrorKind::kData, "vocabulary ", file.string(), ":", line, " has the word '",
                  word, "' again, first in line ", first->second, "; remove one of the two");
    }
    words.emplace_back(word);
  }
  if (words.empty()) {
    throw Error(ErrorKind::kData, "vocabulary ", file.string(),
                " has no words; expected one a line; restore the file");
  }
  return words;
}

}  // namespace pergola::host
