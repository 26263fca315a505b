// SPDX-License-Identifier: BSD-3-Clause
// Text that others wrote (plugins, data, checkpoints, file names), made safe for a terminal and a
// log. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace pergola::host {

// `text` with control characters and bytes that are not UTF-8 written as "\x1b"; everything else,
// letters of any language included, stays.
[[nodiscard]] std::string printable(std::string_view text);

// The same for a text of several lines: newlines and tabs stay. The log does this to each line, so
// a message needs neither of the two; what goes to stdout does.
[[nodiscard]] std::string printable_lines(std::string_view text);

}  // namespace pergola::host
