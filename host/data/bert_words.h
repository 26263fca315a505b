// SPDX-License-Identifier: BSD-3-Clause
// BERT's basic tokenizer: text to words. Controls and what is no valid UTF-8 are dropped (as if
// each such byte were U+FFFD, which the cleaning drops), Unicode's spaces separate, ideographs and
// punctuation are words of their own, and with kLower accents go and capitals become small letters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

enum class Casing { kLower, kKept };  // kLower: and without accents

// Words, one after the other in one string, so that many texts can be split without allocating.
struct BertWords {
  struct Extent {
    std::size_t bytes;
    std::size_t codes;  // code points
  };
  std::string letters;
  std::vector<Extent> extents;
};

// Replaces `words` by those of `text`.
void split_bert_words(std::string_view text, Casing casing, BertWords& words);

}  // namespace pergola::host
