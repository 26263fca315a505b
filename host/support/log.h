// SPDX-License-Identifier: BSD-3-Clause
// The log: lines of "[area] fact" on stderr and, during a run, in its log.txt; and the one line at
// the bottom of a terminal that a progress bar redraws. Lines of SDK and plugins arrive here too.
// Control characters are shown as "\x1b", but for newlines and tabs. Process-wide; thread-safe.
// Nothing here throws: when the log cannot be written, work goes on.
#pragma once

#include "pergola/error.h"
#include "pergola/log.h"

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace pergola::host {

// Starts the log, at this level and above; takes the SDK's lines over. Called again, it changes the
// level and forgets the log files and what was set below. Before the first call the level is info.
void init_log(LogLevel level);
// Changes the level alone.
void set_log_level(LogLevel level);
// From now on stderr gets errors alone, and no status line; log files get what they got before.
void show_errors_only();

// Whether levels have colours where stderr is a terminal and the variable NO_COLOR is not set (or
// empty), which is so unless this says no.
enum class LogColours { kNo, kYes };
void set_log_colours(LogColours colours);

// "debug", "info", "warning" or "error"; otherwise Error{kConfig} with the closest one.
[[nodiscard]] LogLevel parse_log_level(const std::string& name);

// Lines as on stderr, with the date; or JSON objects {"area", "level", "message", "time"}, where
// time is seconds since 1970 as in metrics.jsonl and area what a message has in front, in brackets.
enum class LogFileFormat { kText, kJson };

// From now on lines are appended to this file as well, each flushed at once. Throws
// Error{kCheckpoint} when it cannot be opened. When it cannot be written later (a full disk), that
// is said once on stderr.
void add_log_file(const std::filesystem::path& path, LogFileFormat format = LogFileFormat::kText);

// Shows `text` (one line of ASCII, no newline) below the log, in place of the last such line; log
// lines appear above it. What the terminal has no room for is cut off. Nothing happens when stderr
// is not a terminal.
void set_status_line(std::string_view text);
void clear_status_line();

// Is stderr a terminal, and how many columns has it (at least 1; 80 when it does not say)?
[[nodiscard]] bool stderr_is_terminal() noexcept;
[[nodiscard]] std::size_t terminal_width() noexcept;

}  // namespace pergola::host

namespace pergola::host::log {

[[nodiscard]] bool enabled(LogLevel level) noexcept;
void write(LogLevel level, const std::string& line) noexcept;

// All parts, streamed one after the other, as one line.
template <class... Parts>
void debug(const Parts&... parts) {
  if (enabled(LogLevel::kDebug)) write(LogLevel::kDebug, concat(parts...));
}
template <class... Parts>
void info(const Parts&... parts) {
  if (enabled(LogLevel::kInfo)) write(LogLevel::kInfo, concat(parts...));
}
template <class... Parts>
void warning(const Parts&... parts) {
  if (enabled(LogLevel::kWarning)) write(LogLevel::kWarning, concat(parts...));
}
template <class... Parts>
void error(const Parts&... parts) {
  if (enabled(LogLevel::kError)) write(LogLevel::kError, concat(parts...));
}

}  // namespace pergola::host::log
