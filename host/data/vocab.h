// SPDX-License-Identifier: BSD-3-Clause
// Words and their numbers, as MMF's mmf/utils/text.py makes them. Case and punctuation are those of
// ASCII; every byte of a longer UTF-8 character counts as part of a word and is kept as it is.
// A Vocab owns its words and never changes: any thread may read it.
#pragma once

#include "pergola/sample_list.h"
#include "pergola/value.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pergola::host {

// The tokens of a text: lower case, "'s" apart from its word, no "," and "?", other punctuation a
// token of its own. "Is the dog's coat red-brown?" is
// {is, the, dog, ', s, coat, red, -, brown}.
[[nodiscard]] Strings tokenize(std::string_view text);

// One answer in the form that answers are compared in: lower case, no "," and "?", "'s" apart, no
// space around.
[[nodiscard]] std::string normalize_answer(std::string_view text);

// Of ASCII. The C library's classes depend on the locale; this does not.
[[nodiscard]] constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

inline constexpr std::string_view kUnknownWord = "<unk>";

class Vocab {
 public:
  // Numbers `words` from 0.  REQUIRES: no word twice; kUnknownWord is one of them.
  explicit Vocab(Strings words);

  // The word's number, or that of <unk>.
  [[nodiscard]] std::int64_t index(std::string_view word) const;
  [[nodiscard]] std::int64_t unknown() const noexcept { return unknown_; }
  // REQUIRES: 0 <= index < size().
  [[nodiscard]] const std::string& word(std::int64_t index) const;
  [[nodiscard]] const Strings& words() const noexcept { return words_; }
  [[nodiscard]] std::int64_t size() const noexcept {
    return static_cast<std::int64_t>(words_.size());
  }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view word) const noexcept {
      return std::hash<std::string_view>{}(word);
    }
  };

  Strings words_;
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> indices_;
  std::int64_t unknown_;
};

// For questions: <pad> 0, <s> 1, </s> 2, <unk> 3, then `words`.
[[nodiscard]] Vocab make_text_vocab(const Strings& words);
inline constexpr std::int64_t kPadIndex = 0;

// For answers: `words`, after an <unk> when they have none.
[[nodiscard]] Vocab make_answer_vocab(Strings words);

// The distinct ones of `words` that are there at least `min_count` times: the most frequent first,
// equally frequent ones in the order of their bytes.
[[nodiscard]] Strings words_by_frequency(const Strings& words, std::int64_t min_count);

// Words as a processor's state_dict(), and back. Throws Error{kCheckpoint} for another form.
[[nodiscard]] Value state_of_words(const Strings& words);
[[nodiscard]] Strings words_of_state(const Value& state);
// JSON does not keep bytes that are not UTF-8. Words that are alike without them get a longer name,
// since each has its number.
[[nodiscard]] Strings distinct_words(Strings words);

// What is in a file of words. Answers are read in the form of normalize_answer().
enum class WordFile { kWords, kAnswers };

// The words of a file, one a line, spaces around them and empty lines dropped. Throws Error{kData}
// when it cannot be read, holds no word, one of them twice, or an answer of which nothing is left.
[[nodiscard]] Strings read_word_file(const std::filesystem::path& file,
                                     WordFile kind = WordFile::kWords);

}  // namespace pergola::host
