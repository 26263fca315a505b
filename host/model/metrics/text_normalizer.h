// SPDX-License-Identifier: BSD-3-Clause
// The form in which predicted answers and those of people are compared (MMF's
// EvalAIAnswerProcessor, MMF.md §10). Case, digits, space and punctuation are those of ASCII; all
// other bytes are kept. Pure functions; thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace pergola::host {

// `answer` in lower case, "'s" apart from its word; punctuation that is next to a space anywhere in
// the answer dropped, and other punctuation a space; points dropped, the first 32 of them, unless a
// digit follows; "none" and "zero" to "ten" as digits; a, an and the dropped; contractions with
// their apostrophe ("dont" is "don't"); one space between words.
// "The two mountain's" is "2 mountain 's".
[[nodiscard]] std::string normalize_evalai(std::string_view answer);

}  // namespace pergola::host
