// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/log.h"

#include <atomic>
#include <iostream>

namespace pergola {
namespace {

void to_stderr(LogLevel /*level*/, const std::string& line) { std::cerr << line + '\n'; }

std::atomic<LogSink> sink{&to_stderr};

}  // namespace

void log(LogLevel level, const std::string& line) { sink.load()(level, line); }

void set_log_sink(LogSink new_sink) noexcept { sink = new_sink != nullptr ? new_sink : &to_stderr; }

}  // namespace pergola
