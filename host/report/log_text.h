// SPDX-License-Identifier: BSD-3-Clause
// What of a run's log.txt is shown, which may have a million lines. A plain value; thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

struct LogText {
  std::string text;  // the first and the last lines, each cut to a length
  std::size_t lines = 0;
  std::vector<std::string> warnings;  // and errors; the last ones
  std::size_t all_warnings = 0;
};

// Of a log as text or as JSON.
[[nodiscard]] LogText shorten_log(std::string_view text);

}  // namespace pergola::host
