// SPDX-License-Identifier: BSD-3-Clause
// How alike two answers are by their letters (ANLS: average normalized Levenshtein similarity, the
// measure of the ST-VQA challenge). Texts are UTF-8 and compared character by character; a byte
// that is no UTF-8 is a character of its own. Only ASCII letters lose their case. Pure functions;
// thread-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace pergola::host {

// How many characters must be put in, taken out or replaced to make one text of the other.
[[nodiscard]] std::int64_t edit_distance(std::string_view left, std::string_view right);

// 1 - edit distance / length of the longer text, without case and the space around both; 0 where
// that is below 0.5, and 1 for two empty texts.
[[nodiscard]] double anls(std::string_view left, std::string_view right);

}  // namespace pergola::host
