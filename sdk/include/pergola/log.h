// SPDX-License-Identifier: BSD-3-Clause
// Log lines from SDK and plugins. They go to the host's log (stderr and log.txt of the run).
// Thread-safe.
#pragma once

#include "pergola/export.h"

#include <string>

namespace pergola {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Writes one line. By custom it begins with the area in brackets: "[pythia] ...".
PERGOLA_API void log(LogLevel level, const std::string& line);

// Where lines go; stderr until the host has set its own.  [host only, before threads start]
using LogSink = void (*)(LogLevel level, const std::string& line);
PERGOLA_API void set_log_sink(LogSink sink) noexcept;

}  // namespace pergola
