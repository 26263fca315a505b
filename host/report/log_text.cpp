// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/log_text.h"

#include "host/report/format.h"
#include "pergola/error.h"

#include <algorithm>

namespace pergola::host {
namespace {

bool is_warning(std::string_view line) {
  const auto has = [&](std::string_view part) { return line.find(part) != line.npos; };
  return has("] warning: ") || has("] error: ") || has(R"("level":"warning")") ||
         has(R"("level":"error")");
}

}  // namespace

LogText shorten_log(std::string_view text) {
  constexpr std::size_t kFirst = 40;
  constexpr std::size_t kLast = 80;
  constexpr std::size_t kLongest = 2'000;  // bytes of a line
  constexpr std::size_t kMostWarnings = 30;
  LogText log;
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, std::min(end, kLongest));
    lines.push_back(line);
    if (is_warning(line)) log.warnings.emplace_back(line);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  log.lines = lines.size();
  log.all_warnings = log.warnings.size();
  if (log.warnings.size() > kMostWarnings) {
    log.warnings.erase(log.warnings.begin(), log.warnings.end() - kMostWarnings);
  }
  const bool all = lines.size() <= kFirst + kLast;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!all && i == kFirst) {
      i = lines.size() - kLast;
      log.text += concat("\n    (", grouped(static_cast<std::int64_t>(i - kFirst)),
                         " lines are left out here)\n\n");
    }
    log.text.append(lines[i]).append("\n");
  }
  return log;
}

}  // namespace pergola::host
