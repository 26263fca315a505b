// SPDX-License-Identifier: BSD-3-Clause
// Text from a plugin file or a file name, made safe for a terminal and a log. Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace pergola::host {

// `text` with control characters and bytes that are not UTF-8 written as "\x1b"; everything else,
// letters of any language included, stays.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace pergola::host
