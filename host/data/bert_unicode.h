// SPDX-License-Identifier: BSD-3-Clause
// What BERT's text cleaning asks about a code point, answered as the library `tokenizers` (0.23)
// does, whose ids pretrained weights are used with. It knows the categories of Unicode 8, the
// combining classes and decompositions of Unicode 9 and the lower case of Unicode 17. The answers
// come from utf8proc, whose tables are newer (Unicode 15.0 in Debian 12, 15.1 in Ubuntu 24.04);
// bert_unicode.cpp lists where that shows, so that the ids are the same wherever Pergola is built.
// What Unicode 9 to 15.1 added is thereby what it was for `tokenizers`: a new accent is a letter
// that stays, a new sign is not split off. No state; thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace pergola::host {

// kDropped: U+0000, U+FFFD, controls, formats and private use; tab and line ends are kSpace.
// kIdeograph: a word of its own.
enum class BertClass { kDropped, kSpace, kIdeograph, kOther };
[[nodiscard]] BertClass bert_class(char32_t code) noexcept;

// A word of its own: Unicode's punctuation, and all of ASCII's signs.
[[nodiscard]] bool is_bert_punctuation(char32_t code) noexcept;

// The accents that are taken off: marks without a width (Mn).
[[nodiscard]] bool is_bert_accent(char32_t code) noexcept;

// The order of marks behind a letter (Unicode's canonical combining class); 0: it keeps its place.
[[nodiscard]] std::uint8_t combining_class_of(char32_t code) noexcept;

// The code points of the canonical decomposition (NFD), `code` alone where there is none.
struct Decomposition {
  std::array<std::int32_t, 4> codes;  // no code point has a longer one
  std::size_t size;
};
[[nodiscard]] Decomposition decompose(char32_t code) noexcept;

// One code point for each: U+0130, whose lower case is two, is none after decompose().
[[nodiscard]] char32_t lower_case_of(char32_t code) noexcept;

}  // namespace pergola::host
