// SPDX-License-Identifier: BSD-3-Clause
// The golden texts of the bad-plugin kit (tests/golden/bad_plugins/<item>.txt): a part for each
// command, which begins with "$ pergola <command>".
#pragma once

#include "integration/process.h"

#include <map>
#include <string>

namespace pergola::test {

// What a program wrote and how it ended, without what depends on the machine, the compiler and the
// day: "! " stands before the lines of stderr. `folder`: where it ran, with a slash at its end.
[[nodiscard]] std::string kit_text(const Result& result, const std::string& folder);

// `pergola plugins list` cut into pieces: the line of each file in `plugins`, by its path as it is
// printed, with the warning about it.
[[nodiscard]] std::map<std::string, std::string> texts_of_list(const std::string& text);

// A text as it may be printed: its one control character is ESC.
[[nodiscard]] std::string printed(std::string text);

// Checks that `text` is the part for `command` of the item's golden text. Otherwise the whole text
// as it would be right is written into the temporary folder.
void expect_golden(const std::string& item, const std::string& command, const std::string& text);

}  // namespace pergola::test
